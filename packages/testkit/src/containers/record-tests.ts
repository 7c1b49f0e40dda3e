import type { Container, ContainerStore } from "@ctrd/core/containers";
import { expect, test } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "../records/harness.ts";
import { anyOf, labelsOf } from "../records/harness.ts";
import { containerKind } from "./kind.ts";

type WithContainers = WithRecords<OpenedRecords<ContainerStore>>;

const container = containerKind.make("c1", labelsOf({ a: "1", b: "2" }));

/** Ids, what a container must have, filters, sizes. */
export function recordTests(withStore: WithContainers): void {
  test.each<[string, Partial<Container>]>([
    ["an empty id", { id: "" }],
    ["a malformed id", { id: "a/b" }],
    ["an id that begins with a separator", { id: "-a" }],
    ["a long id", { id: "a".repeat(77) }],
    ["no runtime", { runtime: undefined }],
    ["no runtime name", { runtime: { name: "", options: undefined } }],
    ["no spec", { spec: undefined }],
    ["a snapshot key without snapshotter", { snapshotter: "" }],
    ["an empty extension key", { extensions: new Map([["", anyOf("x")]]) }],
  ])("a container with %s is refused", (_name, change) =>
    withStore(async ({ store, ctx }) => {
      await expectKind(store.create(ctx, { ...container, ...change }), "invalid-argument");
      expect(await store.list(ctx, [])).toEqual([]);
    })(),
  );

  test(
    "a container may have no more than id, runtime and spec",
    withStore(async ({ store, ctx }) => {
      const bare: Container = {
        ...container,
        id: "a".repeat(76),
        labels: new Map(),
        image: "",
        runtime: { name: "io.containerd.runc.v2", options: undefined },
        snapshotter: "",
        snapshotKey: "",
        extensions: new Map(),
        sandbox: "",
      };
      const { createdAt, updatedAt } = await store.create(ctx, bare);
      expectSame(await store.get(ctx, bare.id), { ...bare, createdAt, updatedAt });
    }),
  );

  test(
    "filters see runtime and image",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, container);
      const runtime = { name: "io.containerd.kata.v2", options: undefined };
      await store.create(ctx, { ...container, id: "c2", image: "", runtime });
      const ids = async (filter: string): Promise<string[]> =>
        (await store.list(ctx, [filter])).map(({ id }) => id).sort();
      expect(await ids('runtime.name=="io.containerd.kata.v2"')).toEqual(["c2"]);
      expect(await ids('image=="docker.io/library/x:latest"')).toEqual(["c1"]);
      expect(await ids("image")).toEqual(["c1"]);
      expect(await ids("image~=library")).toEqual(["c1"]);
      expect(await ids("sandbox")).toEqual([]);
    }),
  );

  test(
    "a listing may be larger than a message",
    withStore(async ({ store, ctx }) => {
      const spec = { typeUrl: "big", value: new Uint8Array(256 << 10).fill(7) };
      for (let n = 0; n < 80; n++) await store.create(ctx, { ...container, id: `big${n}`, spec });
      const listed = await store.list(ctx, []);
      expect(listed).toHaveLength(80);
      for (const { spec: found } of listed) expect(found?.value.length).toBe(256 << 10);
    }),
  );
}

const wanted: Container = {
  ...container,
  labels: labelsOf({ b: "3", c: "4" }),
  image: "new image",
  spec: anyOf("new spec"),
  snapshotKey: "new key",
  extensions: new Map([["f", anyOf("f")]]),
  sandbox: "ignored",
};

const masks: [string[], Partial<Container>][] = [
  [["spec"], { spec: wanted.spec }],
  [["image", "snapshotkey"], { image: "new image", snapshotKey: "new key" }],
  [["extensions"], { extensions: wanted.extensions }],
  [["extensions.f"], { extensions: new Map([...container.extensions, ...wanted.extensions]) }],
  [["extensions.e"], { extensions: new Map() }],
  [
    ["labels.b", "extensions.f", "spec"],
    {
      labels: labelsOf({ a: "1", b: "3" }),
      extensions: new Map([...container.extensions, ...wanted.extensions]),
      spec: wanted.spec,
    },
  ],
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
];

/** Masks, and what cannot be changed. */
export function updateTests(withStore: WithContainers): void {
  test.each(masks)("the mask %j changes what it names", (mask, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, container);
      const updated = await store.update(ctx, wanted, mask);
      expectSame(updated, { ...created, ...change, updatedAt: updated.updatedAt });
      expectSame(await store.get(ctx, "c1"), updated);
    })(),
  );

  test.each<[string[], string, Partial<Container>]>([
    [["runtime"], "the same runtime", {}],
    [["snapshotter"], "the same snapshotter", {}],
    [["id"], "the same id", {}],
    [["sandbox"], "the same sandbox", {}],
    [["extensions."], "the same extensions", {}],
    [[], "another snapshotter", { snapshotter: "other" }],
    [[], "another runtime", { runtime: { name: "other", options: undefined } }],
    [["spec"], "no spec", { spec: undefined }],
    [["extensions"], "an empty extension key", { extensions: new Map([["", anyOf("x")]]) }],
  ])("the mask %j with %s is refused", (mask, _what, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, container);
      await expectKind(store.update(ctx, { ...container, ...change }, mask), "invalid-argument");
      expectSame(await store.get(ctx, "c1"), created);
    })(),
  );

  test(
    "fields that do not change are looked at without a mask only",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, container);
      const other = { ...container, snapshotter: "other", runtime: undefined, image: "x" };
      const updated = await store.update(ctx, other, ["image"]);
      expect(updated).toMatchObject({
        image: "x",
        snapshotter: "overlayfs",
        runtime: { name: "io.containerd.runc.v2" },
      });
    }),
  );
}
