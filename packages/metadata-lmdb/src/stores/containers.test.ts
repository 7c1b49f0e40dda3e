import { withNamespace } from "@ctrd/core/context";
import type { Container } from "@ctrd/core/containers";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";

const any = (text: string): { typeUrl: string; value: Uint8Array } => ({ typeUrl: "t", value: Buffer.from(text) });
const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

const container: Container = {
  id: "c1",
  labels: map({ a: "1", b: "2" }),
  image: "image",
  runtime: { name: "io.containerd.runc.v2", options: any("options") },
  spec: any("spec"),
  snapshotter: "mem",
  snapshotKey: "key",
  createdAt: undefined,
  updatedAt: undefined,
  extensions: new Map([["e", any("e")]]),
  sandbox: "sandbox",
};

describe("containers", () => {
  test("are created, read, listed and deleted", async () => {
    const b = await Bench.open();
    const { containers } = b.store;
    const created = await containers.create(b.ctx, container);
    expect(created).toEqual({ ...container, createdAt: expect.anything(), updatedAt: created.createdAt });
    expect(Number(created.createdAt?.seconds)).toBeCloseTo(Date.now() / 1000, -2);
    expect(await containers.get(b.ctx, "c1")).toEqual(created);
    await containers.create(b.ctx, { ...container, id: "c2", labels: map({}) });
    expect((await containers.list(b.ctx, [])).map(({ id }) => id)).toEqual(["c1", "c2"]);
    expect((await containers.list(b.ctx, ["labels.a==1"])).map(({ id }) => id)).toEqual(["c1"]);
    expect(await containers.list(withNamespace(b.ctx, "other"), [])).toEqual([]);
    await containers.delete(b.ctx, "c1");
    await expectKind(containers.get(b.ctx, "c1"), "not-found", 'container "c1"');
    await expectKind(containers.delete(b.ctx, "c1"), "not-found");
    await expectKind(containers.update(b.ctx, container, []), "not-found");
    await expectKind(containers.list(b.ctx, ["=="]), "invalid-argument");
  });

  test("survive a restart byte for byte", async () => {
    const b = await Bench.open();
    const created = await b.store.containers.create(b.ctx, container);
    await b.reopen();
    expect(await b.store.containers.get(b.ctx, "c1")).toEqual(created);
  });

  test.each<[string, Partial<Container>]>([
    ["an empty id", { id: "" }],
    ["a malformed id", { id: "a/b" }],
    ["a long id", { id: "a".repeat(77) }],
    ["no runtime", { runtime: undefined }],
    ["no runtime name", { runtime: { name: "", options: undefined } }],
    ["no spec", { spec: undefined }],
    ["a snapshot key without snapshotter", { snapshotter: "" }],
    ["an empty extension key", { extensions: new Map([["", any("x")]]) }],
    ["a label that is too large", { labels: map({ k: big }) }],
  ])("with %s are refused", async (_name, change) => {
    const b = await Bench.open();
    await expectKind(b.store.containers.create(b.ctx, { ...container, ...change }), "invalid-argument");
    expect(await b.store.containers.list(b.ctx, [])).toEqual([]);
  });

  test("exist once per namespace", async () => {
    const b = await Bench.open();
    await b.store.containers.create(b.ctx, container);
    await expectKind(b.store.containers.create(b.ctx, container), "already-exists", 'container "c1"');
    await b.store.containers.create(withNamespace(b.ctx, "other"), container);
    await expectKind(
      b.store.containers.create(withNamespace(b.ctx, ""), container),
      "failed-precondition",
      /namespace/,
    );
    await expectKind(b.store.containers.create(withNamespace(b.ctx, "a b"), container), "invalid-argument");
  });

  const wanted: Container = {
    ...container,
    labels: map({ b: "3", c: "4" }),
    image: "new image",
    spec: any("new spec"),
    snapshotKey: "new key",
    extensions: new Map([["f", any("f")]]),
    sandbox: "ignored",
  };
  test.each<[string[], Partial<Container>]>([
    [["labels"], { labels: wanted.labels }],
    [["labels.b"], { labels: map({ a: "1", b: "3" }) }],
    [["labels.a", "labels.c"], { labels: map({ b: "2", c: "4" }) }],
    [["spec"], { spec: wanted.spec }],
    [["image", "snapshotkey"], { image: "new image", snapshotKey: "new key" }],
    [["extensions"], { extensions: wanted.extensions }],
    [
      ["extensions.f"],
      {
        extensions: new Map([
          ["e", any("e")],
          ["f", any("f")],
        ]),
      },
    ],
    [["extensions.e"], { extensions: new Map() }],
    [
      [],
      {
        labels: wanted.labels,
        image: "new image",
        spec: wanted.spec,
        snapshotKey: "new key",
        extensions: wanted.extensions,
      },
    ],
  ])("are updated by the mask %j", async (mask, change) => {
    const b = await Bench.open();
    const { containers } = b.store;
    const created = await containers.create(b.ctx, container);
    const updated = await containers.update(b.ctx, wanted, mask);
    expect(updated).toEqual({ ...created, ...change, updatedAt: updated.updatedAt });
    expect(await containers.get(b.ctx, "c1")).toEqual(updated);
  });

  test.each<[string[], Partial<Container>]>([
    [["runtime"], {}],
    [["snapshotter"], {}],
    [["labels."], {}],
    [["createdat"], {}],
    [["labels", "nonsense"], {}],
    [[], { snapshotter: "other" }],
    [[], { runtime: { name: "other", options: undefined } }],
    [[], { labels: map({ k: big }) }],
    [["spec"], { spec: undefined }],
  ])("are not updated by the mask %j with %j", async (mask, change) => {
    const b = await Bench.open();
    const created = await b.store.containers.create(b.ctx, container);
    await expectKind(b.store.containers.update(b.ctx, { ...container, ...change }, mask), "invalid-argument");
    expect(await b.store.containers.get(b.ctx, "c1")).toEqual(created);
  });

  test("immutable fields are not looked at with a mask", async () => {
    const b = await Bench.open();
    await b.store.containers.create(b.ctx, container);
    const other = { ...container, snapshotter: "other", image: "x" };
    expect(await b.store.containers.update(b.ctx, other, ["image"])).toMatchObject({ image: "x", snapshotter: "mem" });
  });
});
