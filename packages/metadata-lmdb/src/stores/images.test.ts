import type { Image } from "@ctrd/core/images";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

const image: Image = {
  name: "docker.io/library/x:latest",
  labels: map({ a: "1", b: "2" }),
  target: { mediaType: "m", digest: digestOf("x"), size: 5n, annotations: map({ n: "1" }) },
  createdAt: undefined,
  updatedAt: undefined,
};

describe("images", () => {
  test("are created, read, listed and deleted", async () => {
    const b = await Bench.open();
    const { images } = b.store;
    const created = await images.create(b.ctx, image);
    expect(created).toMatchObject({ name: image.name, labels: image.labels, target: image.target });
    expect(await images.get(b.ctx, image.name)).toEqual(created);
    await images.create(b.ctx, { ...image, name: "😀 any text /:@" });
    expect(await images.list(b.ctx, [])).toHaveLength(2);
    expect(await images.list(b.ctx, [`name=="${image.name}"`])).toEqual([created]);
    expect(await images.list(b.ctx, [`target.digest==${digestOf("y")}`])).toEqual([]);
    await expectKind(images.create(b.ctx, image), "already-exists");
    await images.delete(b.ctx, image.name);
    await expectKind(images.get(b.ctx, image.name), "not-found", image.name);
    await expectKind(images.delete(b.ctx, image.name), "not-found");
    await expectKind(images.update(b.ctx, image, []), "not-found");
  });

  test("take times from the source date epoch", async () => {
    const b = await Bench.open();
    const epoch = { seconds: 1000n, nanos: 5 };
    expect(await b.store.images.create(b.ctx, image, epoch)).toMatchObject({ createdAt: epoch, updatedAt: epoch });
    const later = { seconds: 2000n, nanos: 0 };
    expect(await b.store.images.update(b.ctx, image, ["labels"], later)).toMatchObject({
      createdAt: epoch,
      updatedAt: later,
    });
  });

  const target = image.target as NonNullable<Image["target"]>;
  test.each<[string, Partial<Image>]>([
    ["no name", { name: "" }],
    ["a NUL in the name", { name: "a\0b" }],
    ["a name that is too long", { name: "x".repeat(1025) }],
    ["no target", { target: undefined }],
    ["a malformed digest", { target: { ...target, digest: "sha256:xyz" } }],
    ["no size", { target: { ...target, size: 0n } }],
    ["a negative size", { target: { ...target, size: -1n } }],
    ["no media type", { target: { ...target, mediaType: "" } }],
    ["a label that is too large", { labels: map({ k: big }) }],
  ])("with %s are refused", async (_name, change) => {
    const b = await Bench.open();
    await expectKind(b.store.images.create(b.ctx, { ...image, ...change }), "invalid-argument");
  });

  const next = { mediaType: "n", digest: digestOf("y"), size: 6n, annotations: map({ n: "2", o: "3" }) };
  const wanted: Image = { ...image, labels: map({ b: "3" }), target: next };
  test.each<[string[], Partial<Image>]>([
    [["labels"], { labels: map({ b: "3" }) }],
    [["labels.b"], { labels: map({ a: "1", b: "3" }) }],
    [["labels.a"], { labels: map({ b: "2" }) }],
    [["target"], { target: next }],
    [["annotations"], { target: { ...target, annotations: next.annotations } }],
    [["annotations.o"], { target: { ...target, annotations: map({ n: "1", o: "3" }) } }],
    [["annotations.gone"], {}],
    [[], { labels: map({ b: "3" }), target: next }],
  ])("are updated by the mask %j", async (mask, change) => {
    const b = await Bench.open();
    const created = await b.store.images.create(b.ctx, image);
    const updated = await b.store.images.update(b.ctx, wanted, mask);
    expect(updated).toEqual({ ...created, ...change, updatedAt: updated.updatedAt });
    expect(await b.store.images.get(b.ctx, image.name)).toEqual(updated);
  });

  test.each([["name"], ["createdat"], ["target.digest"], ["labels."]])("are not updated by %s", async (path) => {
    const b = await Bench.open();
    await b.store.images.create(b.ctx, image);
    await expectKind(b.store.images.update(b.ctx, wanted, [path]), "invalid-argument", path);
  });

  test("are deleted only with the target that is asked for", async () => {
    const b = await Bench.open();
    await b.store.images.create(b.ctx, image);
    await expectKind(b.store.images.delete(b.ctx, image.name, { target: next }), "not-found", digestOf("y"));
    await b.store.images.delete(b.ctx, image.name, { target });
    expect(await b.store.images.list(b.ctx, [])).toEqual([]);
  });

  test("labels without value are not stored", async () => {
    const b = await Bench.open();
    const created = await b.store.images.create(b.ctx, { ...image, labels: map({ a: "", b: "2" }) });
    expect(created.labels).toEqual(map({ b: "2" }));
    expect((await b.store.images.update(b.ctx, { ...image, labels: map({ b: "" }) }, ["labels.b"])).labels.size).toBe(
      0,
    );
  });

  test("keys of Object.prototype are labels like others", async () => {
    const b = await Bench.open();
    const labels = map({ constructor: "1" }).set("__proto__", "2");
    await b.store.images.create(b.ctx, { ...image, labels });
    await b.reopen();
    expect((await b.store.images.get(b.ctx, image.name)).labels).toEqual(labels);
    expect(await b.store.images.list(b.ctx, ["labels.__proto__==2"])).toHaveLength(1);
    expect(await b.store.images.list(b.ctx, ["labels.toString"])).toEqual([]);
  });
});
