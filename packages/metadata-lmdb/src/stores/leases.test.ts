import { withLease } from "@ctrd/core/context";
import { leaseSuite } from "@ctrd/testkit/leases";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";
import { openPart } from "../../test/open-store.ts";

leaseSuite(
  "metadata-lmdb",
  openPart(({ leases }) => leases),
);

describe("leases", () => {
  test("have ids and resources that fit into keys of the database", async () => {
    const b = await Bench.open();
    const { leases } = b.store;
    await expectKind(leases.create(b.ctx, { id: "x".repeat(513), labels: new Map() }), "invalid-argument");
    await b.leased("l");
    const long = { type: "snapshots/overlayfs", id: "k".repeat(1000) };
    await leases.addResource(b.ctx, "l", long);
    expect(await leases.listResources(b.ctx, "l")).toEqual([long]);
    await expectKind(leases.addResource(b.ctx, "l", { type: "images", id: "" }), "invalid-argument");
  });

  test("get ids of containerd's form when they have none", async () => {
    const b = await Bench.open();
    const { id } = await b.store.leases.create(b.ctx, { id: "", labels: new Map() });
    expect(id).toMatch(/^\d{1,9}-[\w-]{4}$/);
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
