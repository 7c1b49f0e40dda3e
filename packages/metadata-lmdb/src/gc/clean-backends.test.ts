import { snapshotRefLabel } from "@ctrd/core/snapshots";
import { describe, expect, test, vi } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const gc = (name: string): string => `containerd.io/gc.${name}`;
const a = digestOf("a");
const b1 = digestOf("b");

describe("ingests", () => {
  /** Leaves an ingest with some bytes. */
  async function leave(b: Bench, ref: string, ctx = b.ctx): Promise<void> {
    const writer = await b.store.content.writer(ctx, { ref });
    await writer.write(Buffer.from("x"));
    await writer.close();
  }

  test("without a lease they live for 24 hours", async () => {
    const b = await Bench.open();
    await leave(b, "r");
    const clock = vi.spyOn(Date, "now");
    try {
      const start = performance.timeOrigin + performance.now();
      clock.mockReturnValue(start + 86_000_000);
      await b.collect();
      expect(await b.store.content.listStatuses(b.ctx, [])).toHaveLength(1);
      clock.mockReturnValue(start + 86_500_000);
      expect(await b.collect()).toEqual(new Map([["ingest", 1]]));
    } finally {
      clock.mockRestore();
    }
    expect(b.content.ingests.size).toBe(0);
    await expectKind(b.store.content.status(b.ctx, "r"), "not-found");
  });

  test("with a lease they live as long as it", async () => {
    const b = await Bench.open();
    await leave(b, "r", await b.leased("l"));
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "ingests", id: "r" }]);
    await b.collect();
    expect(b.content.ingests.size).toBe(1);
    await b.store.leases.delete(b.ctx, "l");
    await b.collect();
    expect(b.content.ingests.size).toBe(0);
  });

  test("with an open writer they stay even when their lease is gone", async () => {
    const b = await Bench.open();
    const ctx = await b.leased("l");
    const writer = await b.store.content.writer(ctx, { ref: "r" });
    await writer.write(Buffer.from("a"));
    await b.store.leases.delete(b.ctx, "l");
    await b.collect();
    await writer.commit(b.ctx, { labels: new Map([[gc("root"), "x"]]) });
    await b.collect();
    expect(await b.digests()).toEqual([a]);
  });

  test("one that stands for a shared blob keeps it in the backend", async () => {
    const b = await Bench.open();
    await b.blob("a", {}, b.in("other"));
    const writer = await b.store.content.writer(b.ctx, { ref: "r", expected: a });
    await writer.close();
    await b.store.content.delete(b.in("other"), a);
    await b.collect();
    expect([...b.content.blobs.keys()]).toEqual([a]);
    const again = await b.store.content.writer(b.ctx, { ref: "r", expected: a });
    await again.commit(b.ctx, { expected: a, labels: new Map([[gc("root"), "x"]]) });
    await b.collect();
    expect(await b.digests()).toEqual([a]);
  });

  test("of a deleted namespace are removed from the backend", async () => {
    const b = await Bench.open();
    await leave(b, "r");
    await b.store.namespaces.delete(b.ctx, "ns");
    await b.collect();
    expect(b.content.ingests.size).toBe(0);
  });
});

describe("clean-up of the backends", () => {
  test("finds at start what a crash left, and keeps what is named", async () => {
    const b = await Bench.open();
    const ctx = await b.leased("l");
    await b.blob("a", {}, ctx);
    await b.snapshot("s", "", {}, ctx);
    const writer = await b.store.content.writer(ctx, { ref: "mine" });
    await writer.close();
    await b.collect();
    b.content.blobs.set(b1, Buffer.from("b"));
    const stray = await b.content.writer(ctx, { ref: "ns/77/stray" });
    await stray.close();
    await (await b.content.writer(ctx, { ref: "foreign" })).close();
    await b.backend.prepare(ctx, "ns/88/x", "");
    await b.backend.commit(ctx, "ns/89/base", "ns/88/x");
    await b.backend.prepare(ctx, "ns/90/child", "ns/89/base");
    await b.backend.prepare(ctx, "not-ours", "");
    await b.collect();
    expect(b.content.blobs.size).toBe(2);
    await b.reopen();
    await b.collect();
    expect([...b.content.blobs.keys()]).toEqual([a]);
    expect([...b.content.ingests.keys()]).toEqual([expect.stringMatching(/^ns\/\d+\/mine$/)]);
    expect(b.backendKeys()).toEqual(["s"]);
  });

  test("walks the backend once in a run, then removes only what was let go", async () => {
    const b = await Bench.open();
    await b.snapshot("s", "", { [gc("root")]: "x" });
    await b.collect();
    expect([b.backend.walks, b.backend.cleanups]).toEqual([1, 1]);
    await b.collect();
    expect([b.backend.walks, b.backend.cleanups]).toEqual([1, 1]);
    await b.snapshotter.remove(b.ctx, "s");
    await b.collect();
    expect([b.backend.walks, b.backend.cleanups]).toEqual([1, 2]);
    expect(b.backendKeys()).toEqual([]);
  });

  test("removes a deep chain, children first", async () => {
    const b = await Bench.open();
    let parent = "";
    for (let i = 0; i < 40; i++) parent = await b.snapshot(`s${i}`, parent);
    expect(await b.collect()).toEqual(new Map([["snapshot", 40]]));
    expect(b.backendKeys()).toEqual([]);
  });

  test("a failure is tried again by the next collection", async () => {
    const b = await Bench.open();
    await b.blob("a");
    await b.snapshot("s");
    b.content.hook = b.backend.hook = (operation) => {
      if (operation === "delete" || operation === "remove") throw new Error("disk trouble");
    };
    await b.collect();
    expect(b.content.blobs.size + b.backend.snapshots.size).toBe(2);
    b.content.hook = b.backend.hook = () => {};
    await b.collect();
    expect(b.content.blobs.size + b.backend.snapshots.size).toBe(0);
  });

  test("a backend that cannot be listed does not keep the others from being cleaned", async () => {
    const b = await Bench.open();
    await b.blob("a");
    await b.snapshot("s");
    b.content.hook = (operation) => {
      if (operation === "list") throw new Error("disk trouble");
    };
    await b.collect();
    expect([b.content.blobs.size, b.backend.snapshots.size]).toEqual([1, 0]);
    b.content.hook = () => {};
    await b.collect();
    expect(b.content.blobs.size).toBe(0);
  });

  test("a blob that is being read stays until the reader is closed", async () => {
    const b = await Bench.open();
    await b.blob("a");
    const reader = await b.store.content.reader(b.ctx, a);
    await b.collect();
    expect(await b.digests()).toEqual([]);
    expect(Buffer.from(await reader.read(0n, 1)).toString()).toBe("a");
    await reader.close();
    await b.collect();
    expect(b.content.blobs.size).toBe(0);
  });

  test("a remote target that two namespaces name stays until both let go", async () => {
    const b = await Bench.open();
    b.backend.remoteTargets.add("chain");
    const labels = new Map([
      [snapshotRefLabel, "chain"],
      [gc("root"), "x"],
    ]);
    for (const ctx of [b.ctx, b.in("other")]) {
      await expectKind(b.snapshotter.prepare(ctx, "extract", "", { labels }), "already-exists");
    }
    await b.snapshotter.remove(b.ctx, "chain");
    await b.collect();
    expect([...b.backend.snapshots.keys()]).toEqual(["remote/chain"]);
    await b.snapshotter.remove(b.in("other"), "chain");
    await b.collect();
    expect(b.backend.snapshots.size).toBe(0);
  });
});
