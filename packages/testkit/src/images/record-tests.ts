import type { Image, ImageStore } from "@ctrd/core/images";
import type { Descriptor } from "@ctrd/core/records";
import { expect, test } from "vitest";
import { expectError, expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "../records/harness.ts";
import { labelsOf } from "../records/harness.ts";
import { imageKind, targetOf } from "./kind.ts";

type WithImages = WithRecords<OpenedRecords<ImageStore>>;

const image = imageKind.make("docker.io/library/x:latest", labelsOf({ a: "1", b: "2" }));
const target = image.target as Descriptor;
const next: Descriptor = { ...targetOf("next", { n: "2", o: "3" }), mediaType: "application/vnd.example.other" };
const wanted: Image = { ...image, labels: labelsOf({ b: "3" }), target: next };

/** Names, refused records, masks, times. */
export function recordTests(withStore: WithImages): void {
  test(
    "names are free text",
    withStore(async ({ store, ctx }) => {
      const names = ["docker.io/library/x:latest", `host:5000/a@${target.digest}`, "😀 any text /:@", "import-2024"];
      for (const name of names) await store.create(ctx, { ...image, name });
      expect((await store.list(ctx, [])).map(({ name }) => name).sort()).toEqual(names.toSorted());
      for (const name of names) expect((await store.get(ctx, name)).name).toBe(name);
      expect(await store.list(ctx, [`name=="${names[1]}"`])).toHaveLength(1);
    }),
  );

  test.each<[string, Partial<Image>]>([
    ["no name", { name: "" }],
    ["no target", { target: undefined }],
    ["a malformed digest", { target: { ...target, digest: "sha256:xyz" } }],
    ["no digest", { target: { ...target, digest: "" } }],
    ["a digest of an unknown algorithm", { target: { ...target, digest: "md5:d41d8cd98f00b204e9800998ecf8427e" } }],
    ["no size", { target: { ...target, size: 0n } }],
    ["a negative size", { target: { ...target, size: -1n } }],
    ["no media type", { target: { ...target, mediaType: "" } }],
  ])("an image with %s is refused", (_name, change) =>
    withStore(async ({ store, ctx }) => {
      await expectKind(store.create(ctx, { ...image, ...change }), "invalid-argument");
      expect(await store.list(ctx, [])).toEqual([]);
    })(),
  );

  test.each<[string[], Partial<Image>]>([
    [["target"], { target: next }],
    [["annotations"], { target: { ...target, annotations: next.annotations } }],
    [["annotations.o"], { target: { ...target, annotations: labelsOf({ n: "1", o: "3" }) } }],
    [["annotations.n"], { target: { ...target, annotations: labelsOf({ n: "2" }) } }],
    [["annotations.gone"], {}],
    [["labels.b", "target"], { labels: labelsOf({ a: "1", b: "3" }), target: next }],
    [[], { labels: wanted.labels, target: next }],
  ])("the mask %j changes what it names", (mask, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, image);
      const updated = await store.update(ctx, wanted, mask);
      expectSame(updated, { ...created, ...change, updatedAt: updated.updatedAt });
      expectSame(await store.get(ctx, image.name), updated);
    })(),
  );

  test.each<[string[], string, Partial<Image>]>([
    [["name"], "another name", {}],
    [["target.digest"], "another digest", {}],
    [["target"], "a malformed digest", { target: { ...target, digest: "sha256:1" } }],
    [["target"], "no target", { target: undefined }],
    [[], "no size", { target: { ...target, size: 0n } }],
  ])("the mask %j with %s is refused", (mask, _what, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, image);
      await expectKind(store.update(ctx, { ...wanted, ...change }, mask), "invalid-argument");
      expectSame(await store.get(ctx, image.name), created);
    })(),
  );

  test(
    "times are taken from the source date epoch",
    withStore(async ({ store, ctx }) => {
      const epoch = { seconds: 1000n, nanos: 5 };
      const later = { seconds: 2000n, nanos: 0 };
      expect(await store.create(ctx, image, epoch)).toMatchObject({ createdAt: epoch, updatedAt: epoch });
      const updated = await store.update(ctx, image, ["labels"], later);
      expect(updated).toMatchObject({ createdAt: epoch, updatedAt: later });
      expectSame(await store.get(ctx, image.name), updated);
    }),
  );
}

/** What the target does: filters, and deleting only what is meant. */
export function targetTests(withStore: WithImages): void {
  test(
    "filters see digest, media type and annotations of the target",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, { ...image, name: "one" });
      await store.create(ctx, { ...image, name: "two", target: next });
      const names = async (filter: string): Promise<string[]> =>
        (await store.list(ctx, [filter])).map(({ name }) => name).sort();
      expect(await names(`target.digest==${target.digest}`)).toEqual(["one"]);
      expect(await names("target.digest~=^sha256:")).toEqual(["one", "two"]);
      expect(await names(`target.mediatype=="${next.mediaType}"`)).toEqual(["two"]);
      expect(await names("annotations.o")).toEqual(["two"]);
      expect(await names("annotations.n==1")).toEqual(["one"]);
      expect(await names("target.size")).toEqual([]);
    }),
  );

  test(
    "an image is deleted only with the target that is asked for",
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, image);
      await expectError(store.delete(ctx, image.name, { target: next }), "not-found", image.name);
      expectSame(await store.list(ctx, []), [created]);
      await store.delete(ctx, image.name, { target });
      expect(await store.list(ctx, [])).toEqual([]);
    }),
  );
}
