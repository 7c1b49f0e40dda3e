import { namespaceSuite } from "@ctrd/testkit/namespaces";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";
import { openPart } from "../../test/open-store.ts";

const openNamespaces = openPart(({ namespaces }) => namespaces);

namespaceSuite(
  "metadata-lmdb",
  async (root) => {
    const opened = await openNamespaces(root);
    const { images } = opened.metadata;
    return {
      ...opened,
      async occupy(inside) {
        const target = { mediaType: "m", digest: digestOf("x"), size: 1n, annotations: new Map() };
        const record = { name: "i", labels: new Map(), target, createdAt: undefined, updatedAt: undefined };
        await images.create(inside, record);
        return { called: "images", remove: () => images.delete(inside, "i") };
      },
    };
  },
  { occupy: true },
);

const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));

describe("namespaces", () => {
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
