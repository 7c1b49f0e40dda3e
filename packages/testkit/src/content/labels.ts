import type { ContentInfo } from "@ctrd/core/content";
import type { Labels } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { Harness, OpenedStore } from "./harness.ts";
import { digestOf, listDigests, listRefs, sample, writeBlob } from "./harness.ts";

const uncompressed = "containerd.io/uncompressed";

/** Tests of labels; for a store that keeps none, that it says so. */
export function labelTests({ withStore, options }: Harness): void {
  if (!options.labels) {
    test(
      "an update is refused, since no labels are kept",
      withStore(async (opened) => {
        const digest = await writeBlob(opened, sample("none", 10), { labels: new Map([["a", "b"]]) });
        const info = await opened.store.info(opened.ctx, digest);
        expect(info.labels.size).toBe(0);
        const wanted = { ...info, labels: new Map([["a", "b"]]) };
        await expectKind(opened.store.update(opened.ctx, wanted, []), "not-implemented", "failed-precondition");
      }),
    );
    return;
  }

  test(
    "commit keeps its labels, which filters see",
    withStore(async (opened) => {
      const one = await writeBlob(opened, sample("one", 10), {
        labels: new Map([
          [uncompressed, "x"],
          ["tier", "web"],
        ]),
      });
      const two = await writeBlob(opened, sample("two", 10), { labels: new Map([["tier", "db"]]) });
      expect(await labelsOf(opened, one)).toEqual(
        new Map([
          [uncompressed, "x"],
          ["tier", "web"],
        ]),
      );
      expect(await listDigests(opened, "labels.tier==web")).toEqual([one]);
      expect(await listDigests(opened, "labels.tier")).toEqual([one, two].sort());
      expect(await listDigests(opened, `labels."${uncompressed}"==x`)).toEqual([one]);
      expect(await listDigests(opened, "labels.tier!=web")).toEqual([two]);
    }),
  );

  test("update replaces all labels, or those that the mask names", withStore(updates));

  test(
    "labels with the names of object properties are only labels",
    withStore(async (opened) => {
      const labels = new Map([
        ["__proto__", "a"],
        ["constructor", "b"],
        ["toString", "c"],
      ]);
      const digest = await writeBlob(opened, sample("proto", 10), { labels });
      expect(await labelsOf(opened, digest)).toEqual(labels);
      await update(opened, digest, [["__proto__", "d"]], ["labels.__proto__"]);
      expect(await labelsOf(opened, digest)).toEqual(new Map([...labels, ["__proto__", "d"]]));
    }),
  );

  test(
    "update of something else, of an unknown blob, or with labels that are too large is refused",
    withStore(refusals),
  );
}

async function updates(opened: OpenedStore): Promise<void> {
  const { store, ctx } = opened;
  const digest = await writeBlob(opened, sample("update", 10), {
    labels: new Map([
      ["a", "1"],
      ["b.c/d", "2"],
    ]),
  });
  const created = await store.info(ctx, digest);
  await update(
    opened,
    digest,
    [
      ["b.c/d", "3"],
      ["ignored", "x"],
    ],
    ["labels.b.c/d"],
  );
  expect(await labelsOf(opened, digest)).toEqual(
    new Map([
      ["a", "1"],
      ["b.c/d", "3"],
    ]),
  );
  await update(
    opened,
    digest,
    [
      ["a", ""],
      ["new", "4"],
    ],
    ["labels.a", "labels.new"],
  );
  expect(await labelsOf(opened, digest)).toEqual(
    new Map([
      ["b.c/d", "3"],
      ["new", "4"],
    ]),
  );
  await update(opened, digest, [["all", "5"]], ["labels"]);
  expect(await labelsOf(opened, digest)).toEqual(new Map([["all", "5"]]));
  const returned = await update(opened, digest, [["empty", "mask"]], []);
  expect(returned).toMatchObject({ digest, size: 10n, labels: new Map([["empty", "mask"]]) });
  const info = await store.info(ctx, digest);
  expect(info.labels).toEqual(new Map([["empty", "mask"]]));
  expect(info.createdAt).toEqual(created.createdAt);
  expect(millisFromTimestamp(info.updatedAt)).toBeGreaterThanOrEqual(millisFromTimestamp(created.updatedAt));
}

async function refusals(opened: OpenedStore): Promise<void> {
  const { store, ctx } = opened;
  const data = sample("limits", 10);
  const digest = await writeBlob(opened, data, { labels: new Map([["a", "1"]]) });
  for (const path of ["size", "digest", "createdat", "label.a", "labelsx"]) {
    await expectKind(update(opened, digest, [["a", "2"]], [path]), "invalid-argument");
  }
  const unknown = { ...(await store.info(ctx, digest)), digest: digestOf(Buffer.from("unknown")) };
  await expectKind(store.update(ctx, unknown, []), "not-found");
  const fits = ["k", "v".repeat(4095)] as const;
  const tooLarge = ["k", "v".repeat(4096)] as const;
  await update(opened, digest, [fits], []);
  await expectKind(update(opened, digest, [tooLarge], []), "invalid-argument");
  await expectKind(update(opened, digest, [tooLarge], ["labels.k"]), "invalid-argument");
  expect(await labelsOf(opened, digest)).toEqual(new Map([fits]));
  await expectKind(writeBlob(opened, sample("large label", 10), { labels: new Map([tooLarge]) }), "invalid-argument");
  expect(await listDigests(opened)).toEqual([digest]);
  for (const ref of await listRefs(opened)) await store.abort(ctx, ref);
}

async function update(
  { store, ctx }: OpenedStore,
  digest: string,
  labels: Iterable<readonly [string, string]>,
  mask: string[],
): Promise<ContentInfo> {
  const info = { digest, size: 0n, createdAt: undefined, updatedAt: undefined, labels: new Map(labels) };
  return store.update(ctx, info, mask);
}

async function labelsOf({ store, ctx }: OpenedStore, digest: string): Promise<Labels> {
  return (await store.info(ctx, digest)).labels;
}
