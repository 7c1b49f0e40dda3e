import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

describe("namespaces", () => {
  test("are created, labelled, listed and deleted", async () => {
    const b = await Bench.open();
    const { namespaces } = b.store;
    const created = await namespaces.create(b.ctx, { name: "n1", labels: map({ a: "1", e: "" }) });
    expect(created).toEqual({ name: "n1", labels: map({ a: "1" }) });
    await expectKind(namespaces.create(b.ctx, created), "already-exists", 'namespace "n1"');
    await expectKind(namespaces.create(b.ctx, { name: "a b", labels: map({}) }), "invalid-argument");
    await expectKind(namespaces.create(b.ctx, { name: "x", labels: map({ k: big }) }), "invalid-argument");
    expect(await namespaces.get(b.ctx, "n1")).toEqual(created);
    expect(await namespaces.get(b.ctx, "unknown")).toEqual({ name: "unknown", labels: map({}) });
    expect(await namespaces.list(b.ctx)).toEqual([created]);
    const wanted = { name: "n1", labels: map({ b: "2" }) };
    expect((await namespaces.update(b.ctx, wanted, ["labels.b"])).labels).toEqual(map({ a: "1", b: "2" }));
    expect((await namespaces.update(b.ctx, wanted, ["labels.a"])).labels).toEqual(map({ b: "2" }));
    expect((await namespaces.update(b.ctx, { name: "n1", labels: map({ c: "3" }) }, [])).labels).toEqual(
      map({ c: "3" }),
    );
    await expectKind(namespaces.update(b.ctx, wanted, ["labels"]), "invalid-argument");
    await expectKind(namespaces.update(b.ctx, wanted, ["name"]), "invalid-argument");
    await b.reopen();
    expect((await b.store.namespaces.get(b.ctx, "n1")).labels).toEqual(map({ c: "3" }));
    await b.store.namespaces.delete(b.ctx, "n1");
    await expectKind(b.store.namespaces.delete(b.ctx, "n1"), "not-found", 'namespace "n1"');
  });

  test("come to be when something is written in them, or labelled", async () => {
    const b = await Bench.open();
    await b.container("c");
    await b.leased("l");
    await b.store.namespaces.update(b.ctx, { name: "labelled", labels: map({ a: "1" }) }, ["labels.a"]);
    expect((await b.store.namespaces.list(b.ctx)).map(({ name }) => name)).toEqual(["labelled", "ns"]);
    await expectKind(b.store.namespaces.create(b.ctx, { name: "ns", labels: map({}) }), "already-exists");
  });

  test("are deleted only when nothing is left but leases and sandboxes, which go too", async () => {
    const b = await Bench.open();
    await b.leased("l");
    await b.store.sandboxes.create(b.ctx, {
      sandboxId: "s1",
      sandboxer: "shim",
      runtime: undefined,
      spec: undefined,
      labels: map({}),
      extensions: new Map(),
      createdAt: undefined,
      updatedAt: undefined,
    });
    await b.image("i", await b.blob("a"));
    await b.container("c");
    await b.snapshot("s");
    const text =
      'namespace "ns" must be empty, but it still has images, blobs, containers, snapshots on "mem" snapshotter';
    await expectKind(b.store.namespaces.delete(b.ctx, "ns"), "failed-precondition", text);
    await b.store.images.delete(b.ctx, "i");
    await b.store.containers.delete(b.ctx, "c");
    await expectKind(b.store.namespaces.delete(b.ctx, "ns"), "failed-precondition", "still has blobs, snapshots");
    await b.store.content.delete(b.ctx, digestOf("a"));
    await b.snapshotter.remove(b.ctx, "s");
    await b.store.namespaces.delete(b.ctx, "ns");
    expect(await b.store.leases.list(b.ctx, [])).toEqual([]);
    expect(await b.store.sandboxes.list(b.ctx, [])).toEqual([]);
    expect(await b.store.namespaces.list(b.ctx)).toEqual([]);
  });

  test("whose name begins like another's are not mixed up", async () => {
    const b = await Bench.open();
    await b.leased("l");
    await b.store.leases.create(b.in("ns1"), { id: "m", labels: map({}) });
    expect((await b.store.leases.list(b.ctx, [])).map(({ id }) => id)).toEqual(["l"]);
    await b.store.namespaces.delete(b.ctx, "ns");
    expect((await b.store.leases.list(b.in("ns1"), [])).map(({ id }) => id)).toEqual(["m"]);
  });
});
