import { createHash } from "node:crypto";
import { emptyDigest } from "@ctrd/core/digests";
import { millisFromTimestamp } from "@ctrd/core/records";
import { expect, test } from "vitest";
import { createRandom } from "../fixtures/generated-files.ts";
import { expectKind } from "../expectations.ts";
import type { Harness, OpenedStore } from "./harness.ts";
import { digestBy, digestOf, listDigests, listRefs, readBlob, sample, writeBlob } from "./harness.ts";

/** Tests of writers up to the commit. */
export function writingTests({ withStore }: Harness): void {
  test(
    "a blob is what was written",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("plain", 5000);
      const before = Date.now() - 2000;
      const digest = await writeBlob(opened, data);
      const info = await store.info(ctx, digest);
      expect(info).toMatchObject({ digest, size: 5000n });
      expect(millisFromTimestamp(info.createdAt)).toBeGreaterThan(before);
      expect(millisFromTimestamp(info.createdAt)).toBeLessThan(Date.now() + 2000);
      expect((await readBlob(opened, digest)).equals(data)).toBe(true);
      expect(await listRefs(opened)).toEqual([]);
    }),
  );

  test(
    "an empty blob",
    withStore(async (opened) => {
      expect(await writeBlob(opened, new Uint8Array(0))).toBe(emptyDigest);
      expect(await opened.store.info(opened.ctx, emptyDigest)).toMatchObject({ size: 0n });
      expect(await readBlob(opened, emptyDigest)).toHaveLength(0);
    }),
  );

  test(
    "many small writes give the same blob as one, and the digest so far is right after each",
    withStore(smallWrites),
  );

  test("40 MiB in pieces of 1 MiB", withStore(largeUpload), 120_000);

  test(
    "the caller may reuse its buffer after each write",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("reuse", 900_000);
      const writer = await store.writer(ctx, { ref: "reuse" });
      const buffer = Buffer.alloc(300_000);
      for (let at = 0; at < data.length; at += buffer.length) {
        data.copy(buffer, 0, at);
        await writer.write(buffer);
        buffer.fill(0);
      }
      await writer.commit(ctx, { expected: digestOf(data) });
    }),
  );

  test(
    "writers of different refs work at the same time",
    withStore(async (opened) => {
      const blobs = Array.from({ length: 20 }, (_, i) => sample(`concurrent ${i}`, 1000 + i * 30_000));
      const digests = await Promise.all(blobs.map((blob) => writeBlob(opened, blob)));
      expect(digests).toEqual(blobs.map(digestOf));
      expect(await listDigests(opened)).toEqual([...digests].sort());
      for (const blob of blobs) expect((await readBlob(opened, digestOf(blob))).equals(blob)).toBe(true);
    }),
  );

  test(
    "a writer needs a ref",
    withStore(async ({ store, ctx }) => {
      await expectKind(store.writer(ctx, { ref: "" }), "invalid-argument");
    }),
  );

  test(
    "a ref is locked while its writer is open",
    withStore(async ({ store, ctx }) => {
      const writer = await store.writer(ctx, { ref: "lock" });
      await expectKind(store.writer(ctx, { ref: "lock" }), "unavailable");
      const other = await store.writer(ctx, { ref: "lock-2" });
      await other.close();
      await writer.close();
      const again = await store.writer(ctx, { ref: "lock" });
      await again.write(sample("lock", 10));
      await again.commit(ctx);
      const third = await store.writer(ctx, { ref: "lock" });
      expect(third.status().offset).toBe(0n);
      await third.close();
    }),
  );

  test(
    "status tells ref, offset, total and times",
    withStore(async ({ store, ctx }) => {
      const data = sample("status", 1000);
      const writer = await store.writer(ctx, { ref: "status", total: 1000n, expected: digestOf(data) });
      expect(writer.status()).toMatchObject({ ref: "status", offset: 0n, total: 1000n });
      await writer.write(data.subarray(0, 400));
      expect(writer.status()).toMatchObject({ ref: "status", offset: 400n, total: 1000n });
      const status = await store.status(ctx, "status");
      expect(status).toMatchObject({ ref: "status", offset: 400n, total: 1000n });
      expect(millisFromTimestamp(status.startedAt)).toBeGreaterThan(Date.now() - 60_000);
      expect(millisFromTimestamp(status.updatedAt)).toBeGreaterThanOrEqual(millisFromTimestamp(status.startedAt));
      await writer.close();
    }),
  );
}

/** Tests of commits. */
export function commitTests({ withStore }: Harness): void {
  test(
    "opening a writer for a blob that is there is refused",
    withStore(async (opened) => {
      const digest = await writeBlob(opened, sample("present", 100));
      const { store, ctx } = opened;
      await expectKind(store.writer(ctx, { ref: "again", total: 100n, expected: digest }), "already-exists");
      expect(await listRefs(opened)).toEqual([]);
    }),
  );

  test(
    "a second commit of a blob is refused and its ingest removed",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("twice", 300_000);
      const writers = [await store.writer(ctx, { ref: "one" }), await store.writer(ctx, { ref: "two" })];
      for (const writer of writers) await writer.write(data);
      const results = await Promise.allSettled(
        writers.map((writer) => writer.commit(ctx, { expected: digestOf(data) })),
      );
      expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
      for (const result of results) {
        if (result.status === "rejected") await expectKind(Promise.reject(result.reason), "already-exists");
      }
      expect(await listRefs(opened)).toEqual([]);
      expect((await readBlob(opened, digestOf(data))).equals(data)).toBe(true);
    }),
  );

  test.each([
    ["another digest", { expected: digestOf(Buffer.from("other")) }, "failed-precondition"],
    ["a digest with malformed hex", { expected: "sha256:xyz" }, "failed-precondition"],
    ["a digest of an unknown algorithm", { expected: "md4:0123456789abcdef" }, "failed-precondition"],
    ["another size", { size: 99n }, "failed-precondition"],
    ["a digest without algorithm", { expected: "0123456789abcdef" }, "invalid-argument"],
  ] as const)("commit with %s is refused and the ingest kept", (_name, options, kind) =>
    withStore((opened) => refusedCommit(opened, options, kind))(),
  );

  test(
    "a blob can be committed by its sha512",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("sha512", 700_000);
      const expected = digestBy("sha512", data);
      const writer = await store.writer(ctx, { ref: "sha512", expected });
      await writer.write(data);
      await writer.commit(ctx, { expected });
      expect(await store.info(ctx, expected)).toMatchObject({ digest: expected, size: 700_000n });
      expect(await listDigests(opened)).toEqual([expected]);
    }),
  );

  test(
    "a committed writer takes nothing more, and may be closed",
    withStore(async ({ store, ctx }) => {
      const writer = await store.writer(ctx, { ref: "done" });
      await writer.write(sample("done", 10));
      await writer.commit(ctx);
      await expect(writer.write(sample("more", 10))).rejects.toThrow();
      await expect(writer.commit(ctx)).rejects.toThrow();
      await writer.close();
      await writer.close();
    }),
  );

  test(
    "a commit without expectations takes what is there",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("any", 12_345);
      const writer = await store.writer(ctx, { ref: "any" });
      await writer.write(data);
      expect(await writer.digest()).toBe(digestOf(data));
      await writer.commit(ctx);
      expect(await listDigests(opened)).toEqual([digestOf(data)]);
    }),
  );
}

async function smallWrites({ store, ctx }: OpenedStore): Promise<void> {
  const data = sample("small", 400_000);
  const random = createRandom(5);
  const writer = await store.writer(ctx, { ref: "small" });
  const hash = createHash("sha256");
  for (let at = 0; at < data.length;) {
    const piece = data.subarray(at, at + 1 + Math.floor(random() * 9000));
    await writer.write(piece);
    hash.update(piece);
    at += piece.length;
    expect(writer.status().offset).toBe(BigInt(at));
    expect(await writer.digest()).toBe(`sha256:${hash.copy().digest("hex")}`);
  }
  await writer.commit(ctx, { expected: digestOf(data), size: BigInt(data.length) });
}

async function largeUpload({ store, ctx }: OpenedStore): Promise<void> {
  const mebibyte = 1 << 20;
  const hash = createHash("sha256");
  const writer = await store.writer(ctx, { ref: "large", total: BigInt(40 * mebibyte) });
  for (let i = 0; i < 40; i++) {
    const piece = sample(`large ${i}`, mebibyte);
    hash.update(piece);
    await writer.write(piece);
  }
  const digest = `sha256:${hash.digest("hex")}`;
  expect(await writer.digest()).toBe(digest);
  await writer.commit(ctx, { expected: digest, size: BigInt(40 * mebibyte) });
  const reader = await store.reader(ctx, digest);
  expect(reader.size).toBe(BigInt(40 * mebibyte));
  for (let i = 0; i < 40; i++) {
    const piece = await reader.read(BigInt(i * mebibyte), mebibyte);
    expect(sample(`large ${i}`, mebibyte).equals(piece)).toBe(true);
  }
  await reader.close();
}

async function refusedCommit(
  opened: OpenedStore,
  options: { expected?: string; size?: bigint },
  kind: "failed-precondition" | "invalid-argument",
): Promise<void> {
  const { store, ctx } = opened;
  const data = sample("refused", 100);
  const writer = await store.writer(ctx, { ref: "refused" });
  await writer.write(data);
  await expectKind(writer.commit(ctx, options), kind);
  await expect(writer.write(data)).rejects.toThrow();
  await writer.close();
  expect(await listDigests(opened)).toEqual([]);
  expect(await store.status(ctx, "refused")).toMatchObject({ ref: "refused", offset: 100n });
  const again = await store.writer(ctx, { ref: "refused" });
  expect(again.status().offset).toBe(100n);
  await again.commit(ctx, { expected: digestOf(data), size: 100n });
  expect(await listDigests(opened)).toEqual([digestOf(data)]);
}
