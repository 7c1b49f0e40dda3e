import { ImageDelete } from "@ctrd/api/events/image";
import { SnapshotRemove } from "@ctrd/api/events/snapshot";
import { withLease } from "@ctrd/core/context";
import { snapshotRefLabel } from "@ctrd/core/snapshots";
import { describe, expect, test, vi } from "vitest";
import { all, Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const gc = (name: string): string => `containerd.io/gc.${name}`;
const past = "2020-01-01T00:00:00Z";
const future = "2120-01-01T00:00:00Z";
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

/** A scene, and what is left of it after a collection. */
interface Case {
  name: string;
  build(b: Bench): Promise<unknown>;
  blobs?: string[];
  snapshots?: string[];
  images?: string[];
  leases?: string[];
}

const a = digestOf("a");
const b1 = digestOf("b");

const cases: Case[] = [
  { name: "nothing refers: all goes", build: async (b) => [await b.blob("a"), await b.snapshot("s")] },
  { name: "gc.root on content", build: (b) => b.blob("a", { [gc("root")]: "x" }), blobs: ["a"] },
  { name: "gc.root on a snapshot", build: (b) => b.snapshot("s", "", { [gc("root")]: "x" }), snapshots: ["s"] },
  {
    name: "content to content, content to snapshot",
    async build(b) {
      await b.blob("b");
      await b.snapshot("s");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.content.l.0")]: b1, [gc("ref.snapshot.mem/x")]: "s" });
    },
    blobs: ["a", "b"],
    snapshots: ["s"],
  },
  {
    name: "a label to another snapshotter keeps nothing here",
    async build(b) {
      await b.snapshot("s");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.snapshot.other")]: "s" });
    },
    blobs: ["a"],
  },
  {
    name: "a label is followed within its namespace only",
    async build(b) {
      await b.blob("b");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.content")]: b1 }, b.in("other"));
    },
  },
  {
    name: "an image keeps its target, and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.blob("b");
      await b.snapshot("s");
      await b.image("i", a, { [gc("ref.content")]: b1, [gc("ref.snapshot.mem")]: "s" });
    },
    blobs: ["a", "b"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "a dead edge is no error",
    build: (b) => b.image("i", a, { [gc("ref.snapshot.mem")]: "none", [gc("ref.content")]: "no digest" }),
    images: ["i"],
  },
  {
    name: "an expired image goes, with what it kept",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: past }),
  },
  {
    name: "an image that expires later stays",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: future }),
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "an expiry that is no time is ignored",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: "tomorrow" }),
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "gc.expire says nothing of content and snapshots",
    async build(b) {
      await b.blob("a", { [gc("root")]: "x", [gc("expire")]: past });
      await b.snapshot("s", "", { [gc("root")]: "x", [gc("expire")]: past });
    },
    blobs: ["a"],
    snapshots: ["s"],
  },
  {
    name: "an expired image that something refers to stays",
    async build(b) {
      await b.image("i", await b.blob("a"), { [gc("expire")]: past });
      await b.container("c", "", { [gc("ref.image.x")]: "i" });
    },
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "an expired image stays with the parent that it names",
    async build(b) {
      await b.image("i", await b.blob("a"), { [gc("expire")]: past, [gc("bref.container")]: "c" });
      await b.image("j", await b.blob("b"), { [gc("expire")]: past, [gc("bref.container")]: "gone" });
      await b.container("c");
    },
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "a snapshot keeps its parents and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.snapshot("base");
      await b.snapshot("middle", "base", { [gc("ref.content.x")]: a });
      await b.snapshot("top", "middle", { [gc("root")]: "x" });
      await b.snapshot("other", "middle");
    },
    blobs: ["a"],
    snapshots: ["base", "middle", "top"],
  },
  {
    name: "a container keeps its snapshot, and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.snapshot("base");
      await b.snapshotter.prepare(b.ctx, "rw", "base");
      await b.container("c", "rw", { [gc("ref.content")]: a });
    },
    blobs: ["a"],
    snapshots: ["base", "rw"],
  },
  {
    name: "a sandbox keeps what its labels name",
    async build(b) {
      await b.snapshot("s");
      await b.image("i", await b.blob("a"), { [gc("expire")]: past });
      await b.store.sandboxes.create(b.ctx, {
        sandboxId: "sb",
        sandboxer: "shim",
        runtime: undefined,
        spec: undefined,
        labels: new Map([
          [gc("ref.snapshot.mem"), "s"],
          [gc("ref.image"), "i"],
        ]),
        extensions: new Map(),
        createdAt: undefined,
        updatedAt: undefined,
      });
    },
    blobs: ["a"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "back references to a container, content, an image and a snapshot",
    async build(b) {
      await b.container("c");
      await b.blob("a", { [gc("bref.container.x")]: "c" });
      await b.blob("b", { [gc("bref.content")]: a });
      await b.image("i", a);
      await b.snapshot("s", "", { [gc("bref.image/x")]: "i" });
      await b.blob("d", { [gc("bref.snapshot.mem/x")]: "s" });
      await b.blob("e", { [gc("bref.content")]: digestOf("none") });
    },
    blobs: ["a", "b", "d"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "a lease keeps what was made with it",
    async build(b) {
      const ctx = await b.leased("l");
      await b.blob("a", { [gc("ref.content")]: b1 }, ctx);
      await b.blob("b");
      await b.snapshot("s", "", {}, ctx);
      await b.snapshotter.prepare(ctx, "rw", "s");
      await b.image("i", digestOf("none"), { [gc("expire")]: past }, ctx);
    },
    blobs: ["a", "b"],
    snapshots: ["rw", "s"],
    images: ["i"],
    leases: ["l"],
  },
  {
    name: "an expired lease goes, with what it kept",
    async build(b) {
      const ctx = await b.leased("l", { [gc("expire")]: past });
      await b.blob("a", {}, ctx);
      await b.snapshot("s", "", {}, ctx);
    },
  },
  {
    name: "a lease that expires later stays",
    build: async (b) => b.blob("a", {}, await b.leased("l", { [gc("expire")]: future })),
    blobs: ["a"],
    leases: ["l"],
  },
  {
    name: "a flat lease keeps no labels' targets, but parents and image targets",
    async build(b) {
      const ctx = await b.leased("l", { [gc("flat")]: "x" });
      await b.blob("b");
      await b.blob("a", { [gc("ref.content")]: b1 }, ctx);
      await b.snapshot("base", "", { [gc("ref.content")]: b1 });
      await b.snapshot("s", "base", { [gc("ref.content")]: b1 }, ctx);
      await b.blob("d", { [gc("ref.content")]: b1 });
      await b.image("i", digestOf("d"), { [gc("expire")]: past, [gc("ref.content")]: b1 }, ctx);
    },
    blobs: ["a", "d"],
    snapshots: ["base", "s"],
    images: ["i"],
    leases: ["l"],
  },
  {
    name: "flat and full leases on one object: the full one counts",
    async build(b) {
      const flat = await b.leased("flat", { [gc("flat")]: "x" });
      await b.leased("full");
      await b.blob("b");
      await b.blob("a", { [gc("ref.content")]: b1 }, flat);
      await b.store.leases.addResource(b.ctx, "full", { type: "content", id: a });
    },
    blobs: ["a", "b"],
    leases: ["flat", "full"],
  },
  {
    name: "a resource taken out of its lease goes",
    async build(b) {
      const ctx = await b.leased("l");
      await b.blob("a", {}, ctx);
      await b.blob("b", {}, ctx);
      await b.store.leases.deleteResource(b.ctx, "l", { type: "content", id: a });
    },
    blobs: ["b"],
    leases: ["l"],
  },
  {
    name: "a condition that holds keeps the snapshot, one that does not lets it go",
    async build(b) {
      for (const [name, used] of [["new", ago(60_000)], ["old", ago(7_200_000)], ["never", ""], ["bad", "soon"]]) {
        await b.snapshot(name as string, "", { [gc("cond.value-usedat")]: used as string });
      }
      await b.image("i", a, {
        [gc("cond.snapshot.mem/1")]: "usedat<1h|new",
        [gc("cond.snapshot.mem/2")]: "usedat<1h|old",
        [gc("cond.snapshot.mem/3")]: "usedat<1h|never",
        [gc("cond.snapshot.mem/4")]: "usedat<1h|bad",
      });
    },
    snapshots: ["new"],
    images: ["i"],
  },
  {
    name: "conditions on content, alternatives, and only while the content is kept",
    async build(b) {
      const used = { [gc("cond.value-usedat")]: ago(7_200_000) };
      await b.snapshot("s", "", used);
      await b.snapshot("t", "", used);
      await b.blob("a", { [gc("root")]: "x", [gc("cond.snapshot/mem")]: "usedat<1m,usedat>1h|s" });
      await b.blob("b", { [gc("cond.snapshot/mem")]: "usedat>1h|t" });
    },
    blobs: ["a"],
    snapshots: ["s"],
  },
  {
    name: "a cycle of labels that nothing refers to goes",
    async build(b) {
      await b.blob("a", { [gc("ref.content")]: b1 });
      await b.blob("b", { [gc("ref.content")]: a });
    },
  },
];

describe("what is left after a collection", () => {
  test.each(cases)("$name", async ({ build, blobs = [], snapshots = [], images = [], leases = [] }) => {
    const b = await Bench.open();
    await build(b);
    await b.collect();
    expect((await b.digests()).sort()).toEqual(blobs.map(digestOf).sort());
    expect((await b.keys()).sort()).toEqual([...snapshots].sort());
    expect((await b.store.images.list(b.ctx, [])).map(({ name }) => name)).toEqual([...images].sort());
    expect((await b.store.leases.list(b.ctx, [])).map(({ id }) => id)).toEqual([...leases].sort());
    expect([...b.backend.snapshots.values()].map(({ name }) => name.split("/")[2]).sort()).toEqual([...snapshots].sort());
    const other = await b.digests(b.in("other"));
    expect([...b.content.blobs.keys()].sort()).toEqual([...new Set([...blobs.map(digestOf), ...other])].sort());
    expect(b.content.ingests.size).toBe(0);
    // A second collection finds nothing to do.
    expect(await b.collect()).toEqual(new Map());
  });
});

test("counts what it removes and publishes snapshots and images, not content", async () => {
  const b = await Bench.open();
  await b.snapshot("s");
  await b.image("i", await b.blob("a"), { [gc("expire")]: past });
  await b.leased("l", { [gc("expire")]: past });
  await b.blob("b", {}, b.in("other"));
  b.events.length = 0;
  expect(await b.collect()).toEqual(new Map([["snapshot", 1], ["image", 1], ["content", 2], ["lease", 1]]));
  const snapshot = b.events.find(({ topic }) => topic === "/snapshot/remove");
  expect(snapshot?.event.typeUrl).toBe("containerd.events.SnapshotRemove");
  expect(SnapshotRemove.decode(snapshot?.event.value as Uint8Array)).toEqual({ key: "s", snapshotter: "mem" });
  const image = b.events.find(({ topic }) => topic === "/images/delete");
  expect(image?.event.typeUrl).toBe("containerd.services.images.v1.ImageDelete");
  expect(ImageDelete.decode(image?.event.value as Uint8Array)).toEqual({ name: "i" });
  expect(b.events).toHaveLength(2);
  expect(b.events.every(({ namespace }) => namespace === "ns")).toBe(true);
});

test("a blob that another namespace keeps stays in the backend", async () => {
  const b = await Bench.open();
  await b.blob("a", { [gc("root")]: "x" }, b.in("other"));
  await b.blob("a");
  await b.collect();
  expect(await b.digests()).toEqual([]);
  expect(await b.digests(b.in("other"))).toEqual([a]);
  expect([...b.content.blobs.keys()]).toEqual([a]);
});

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
    const labels = new Map([[snapshotRefLabel, "chain"], [gc("root"), "x"]]);
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

test("collections queue up, and closing ends the running one", async () => {
  const b = await Bench.open();
  for (let i = 0; i < 20; i++) await b.blob(`x${i}`);
  const runs = [b.collect(), b.collect(), b.collect()];
  expect((await Promise.all(runs)).map((removed) => removed.get("content") ?? 0)).toEqual([20, 0, 0]);
  const run = b.store.collectGarbage(b.ctx);
  run.catch(() => {});
  await b.store.close();
  await expect(run).rejects.toThrow();
  await b.reopen();
});

test("an aborted call gives up and lets the next collection work", async () => {
  const b = await Bench.open();
  await b.blob("a");
  const abort = new AbortController();
  abort.abort(new Error("gone"));
  await expect(b.store.collectGarbage({ ...b.ctx, signal: abort.signal })).rejects.toThrow("gone");
  expect(await b.collect()).toEqual(new Map([["content", 1]]));
});

test("tells of every write, and whether it may have made garbage; its own writes cause none", async () => {
  const b = await Bench.open();
  const seen: boolean[] = [];
  const dirtyOf = async (call: Promise<unknown>): Promise<boolean[]> => {
    seen.length = 0;
    await call;
    return [...seen];
  };
  const unsubscribe = b.store.onMutation((dirty) => seen.push(dirty));
  const { leases, images, containers, content } = b.store;
  expect(await dirtyOf(leases.create(b.ctx, { id: "l", labels: new Map() }))).toEqual([false]);
  const resource = { type: "images", id: "x" };
  expect(await dirtyOf(leases.addResource(b.ctx, "l", resource))).toEqual([false]);
  expect(await dirtyOf(leases.deleteResource(b.ctx, "l", resource))).toEqual([true]);
  expect(await dirtyOf(leases.delete(b.ctx, "l"))).toEqual([true]);
  await b.image("i", await b.blob("a"));
  await b.container("c");
  await b.snapshotter.prepare(b.ctx, "k", "");
  expect(await dirtyOf(images.delete(b.ctx, "i"))).toEqual([true]);
  expect(await dirtyOf(containers.delete(b.ctx, "c"))).toEqual([true]);
  expect(await dirtyOf(content.delete(b.ctx, a))).toEqual([true]);
  expect(await dirtyOf(b.snapshotter.remove(b.ctx, "k"))).toEqual([true]);
  expect(await dirtyOf(images.delete(b.ctx, "i").catch(() => {}))).toEqual([]);
  await b.blob("b");
  expect(await dirtyOf(b.collect())).toEqual([]);
  unsubscribe();
  expect(await dirtyOf(b.blob("d"))).toEqual([]);
  expect(withLease(b.ctx, "l").lease).toBe("l");
});

test("walks remain correct after a collection that removed part of a chain", async () => {
  const b = await Bench.open();
  await b.snapshot("base");
  await b.snapshot("kept", "base", { [gc("root")]: "x" });
  await b.snapshot("gone", "base");
  await b.collect();
  await expectKind(b.snapshotter.remove(b.ctx, "base"), "failed-precondition");
  await b.snapshotter.remove(b.ctx, "kept");
  await b.snapshotter.remove(b.ctx, "base");
  expect(await all(b.snapshotter.walk(b.ctx, []))).toEqual([]);
});
