import { withNamespace } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { expect, test } from "vitest";
import { collect, expectKind } from "../expectations.ts";
import type { Harness, OpenedStore } from "./harness.ts";
import { digestOf, listDigests, listRefs, readBlob, sample, writeBlob } from "./harness.ts";

/** Tests of what one namespace sees of another. */
export function namespaceTests({ withStore, options }: Harness): void {
  test(
    "calls need a well-formed namespace",
    withStore(async ({ store, ctx }) => {
      const digest = digestOf(Buffer.from("x"));
      for (const [namespace, kind] of [
        ["", "failed-precondition"],
        ["a/b", "invalid-argument"],
      ] as const) {
        const bad = withNamespace(ctx, namespace);
        await expectKind(store.info(bad, digest), kind);
        await expectKind(store.writer(bad, { ref: "x" }), kind);
        await expectKind(collect(store.list(bad, [])), kind);
        await expectKind(store.listStatuses(bad, []), kind);
      }
    }),
  );

  test(
    "blobs of one namespace are not seen in another",
    withStore(async (opened) => {
      const other = otherNamespace(opened);
      const digest = await writeBlob(opened, sample("private", 100));
      await expectKind(other.store.info(other.ctx, digest), "not-found");
      await expectKind(other.store.reader(other.ctx, digest), "not-found");
      await expectKind(other.store.delete(other.ctx, digest), "not-found");
      expect(await listDigests(other)).toEqual([]);
      expect(await listDigests(opened)).toEqual([digest]);
    }),
  );

  test(
    "one ref names an ingest per namespace",
    withStore(async (opened) => {
      const other = otherNamespace(opened);
      const mine = await opened.store.writer(opened.ctx, { ref: "same" });
      const theirs = await other.store.writer(other.ctx, { ref: "same" });
      await mine.write(sample("mine", 100));
      await theirs.write(sample("theirs", 50));
      expect(await opened.store.status(opened.ctx, "same")).toMatchObject({ ref: "same", offset: 100n });
      expect(await other.store.status(other.ctx, "same")).toMatchObject({ ref: "same", offset: 50n });
      await theirs.close();
      await other.store.abort(other.ctx, "same");
      expect(await listRefs(opened)).toEqual(["same"]);
      await mine.commit(opened.ctx, { expected: digestOf(sample("mine", 100)) });
      expect(await listDigests(other)).toEqual([]);
    }),
  );

  test(
    "both namespaces may upload a blob, and deleting one leaves the other",
    withStore(async (opened) => {
      const other = otherNamespace(opened);
      const data = sample("both", 2000);
      const digest = await writeBlob(opened, data);
      await writeBlob(other, data);
      await opened.store.delete(opened.ctx, digest);
      await expectKind(opened.store.info(opened.ctx, digest), "not-found");
      expect((await readBlob(other, digest)).equals(data)).toBe(true);
    }),
  );

  if (options.sharing === "shared") {
    test("a blob of another namespace becomes visible without upload", withStore(sharedBlob));
    test("a wrong size needs an upload", withStore(wrongSize));
  } else {
    test("a blob of another namespace must be uploaded in full", withStore(isolatedBlob));
  }
}

function otherNamespace(opened: OpenedStore): OpenedStore {
  return { ...opened, ctx: withNamespace(opened.ctx, `${opened.ctx.namespace}-other`) };
}

/** Either the writer says that all is there and commits without data, or opening it tells that the blob exists. */
async function sharedBlob(opened: OpenedStore): Promise<void> {
  const other = otherNamespace(opened);
  const data = sample("shared", 3000);
  const digest = await writeBlob(opened, data);
  try {
    const writer = await other.store.writer(other.ctx, { ref: "shared", total: 3000n, expected: digest });
    expect(writer.status()).toMatchObject({ offset: 3000n, total: 3000n });
    await writer.commit(other.ctx, { expected: digest, size: 3000n });
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
  }
  expect((await readBlob(other, digest)).equals(data)).toBe(true);
  expect(await listRefs(other)).toEqual([]);
}

async function wrongSize(opened: OpenedStore): Promise<void> {
  const other = otherNamespace(opened);
  const digest = await writeBlob(opened, sample("wrong size", 3000));
  const writer = await other.store.writer(other.ctx, { ref: "wrong", total: 2999n, expected: digest });
  expect(writer.status().offset).toBe(0n);
  await expectKind(writer.commit(other.ctx, { expected: digest }), "failed-precondition");
  await expectKind(other.store.info(other.ctx, digest), "not-found");
}

async function isolatedBlob(opened: OpenedStore): Promise<void> {
  const other = otherNamespace(opened);
  const data = sample("isolated", 3000);
  const digest = await writeBlob(opened, data);
  const writer = await other.store.writer(other.ctx, { ref: "isolated", total: 3000n, expected: digest });
  expect(writer.status().offset).toBe(0n);
  await expectKind(writer.commit(other.ctx, { expected: digest }), "failed-precondition");
  await expectKind(other.store.info(other.ctx, digest), "not-found");
  await writeBlob(other, data);
  expect((await readBlob(other, digest)).equals(data)).toBe(true);
}
