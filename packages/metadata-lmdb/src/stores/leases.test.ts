import { withLease } from "@ctrd/core/context";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

describe("leases", () => {
  test("are created, listed and deleted", async () => {
    const b = await Bench.open();
    const { leases } = b.store;
    const lease = await leases.create(b.ctx, { id: "moby-image-sha256:1", labels: map({ a: "1" }) });
    await expectKind(leases.create(b.ctx, lease), "already-exists");
    await expectKind(leases.create(b.ctx, { id: "x".repeat(513), labels: map({}) }), "invalid-argument");
    await expectKind(leases.create(b.ctx, { id: "x", labels: map({ k: big }) }), "invalid-argument");
    const generated = await leases.create(b.ctx, { id: "", labels: map({}) });
    expect(generated.id).toMatch(/^\d+-[A-Za-z0-9_-]{4}$/);
    expect(await leases.list(b.ctx, ["labels.a==1"])).toEqual([lease]);
    expect(await leases.list(b.ctx, [`id=="${generated.id}"`])).toEqual([generated]);
    await leases.delete(b.ctx, lease.id);
    await expectKind(leases.delete(b.ctx, lease.id), "not-found");
    expect(await leases.list(b.ctx, [])).toEqual([generated]);
  });

  test("hold resources of known types", async () => {
    const b = await Bench.open();
    await b.leased("l");
    const { leases } = b.store;
    const resources = [
      { type: "content", id: digestOf("x") },
      { type: "images", id: "i" },
      { type: "ingests", id: "r" },
      { type: "snapshots/overlayfs", id: "k".repeat(1000) },
    ];
    for (const resource of resources) await leases.addResource(b.ctx, "l", resource);
    await leases.addResource(b.ctx, "l", resources[1] as { type: string; id: string });
    expect(await leases.listResources(b.ctx, "l")).toEqual(resources);
    await leases.deleteResource(b.ctx, "l", { type: "images", id: "i" });
    await leases.deleteResource(b.ctx, "l", { type: "images", id: "never there" });
    expect(await leases.listResources(b.ctx, "l")).toHaveLength(3);
  });

  test.each([
    ["content", "no digest", "invalid-argument"],
    ["content/x", digestOf("x"), "invalid-argument"],
    ["images/x", "i", "invalid-argument"],
    ["snapshots", "s", "invalid-argument"],
    ["snapshots/", "s", "invalid-argument"],
    ["snapshots/a/b", "s", "invalid-argument"],
    ["images", "", "invalid-argument"],
    ["mounts", "m", "not-implemented"],
    ["", "m", "not-implemented"],
  ] as const)("refuse the resource %s %s", async (type, id, kind) => {
    const b = await Bench.open();
    await b.leased("l");
    await expectKind(b.store.leases.addResource(b.ctx, "l", { type, id }), kind);
    await expectKind(b.store.leases.deleteResource(b.ctx, "l", { type, id }), kind);
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([]);
  });

  test("that are missing hold nothing", async () => {
    const b = await Bench.open();
    const resource = { type: "images", id: "i" };
    await expectKind(b.store.leases.addResource(b.ctx, "l", resource), "not-found", 'lease "l"');
    await expectKind(b.store.leases.deleteResource(b.ctx, "l", resource), "not-found");
    await expectKind(b.store.leases.listResources(b.ctx, "l"), "not-found");
  });

  test("that are missing fail the write that names them, which leaves nothing behind", async () => {
    const b = await Bench.open();
    const ctx = withLease(b.ctx, "gone");
    await expectKind(b.image("i", digestOf("a"), {}, ctx), "not-found", 'lease "gone"');
    await expectKind(b.store.content.writer(ctx, { ref: "r" }), "not-found", 'lease "gone"');
    await expectKind(b.snapshotter.prepare(ctx, "k", ""), "not-found", 'lease "gone"');
    await b.snapshotter.prepare(b.ctx, "k", "");
    await expectKind(b.snapshotter.commit(ctx, "n", "k"), "not-found", 'lease "gone"');
    expect(await b.store.images.list(b.ctx, [])).toEqual([]);
    expect(await b.store.content.listStatuses(b.ctx, [])).toEqual([]);
    expect(b.backendKeys()).toEqual(["k"]);
    expect(b.content.ingests.size).toBe(0);
  });
});
