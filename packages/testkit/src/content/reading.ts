import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { Harness } from "./harness.ts";
import { digestOf, sample, writeBlob } from "./harness.ts";

/** Tests of readers. */
export function readingTests({ withStore }: Harness): void {
  test(
    "reads at any offset, and less only at the end",
    withStore(async (opened) => {
      const data = sample("offsets", 300_000);
      const reader = await opened.store.reader(opened.ctx, await writeBlob(opened, data));
      expect(reader.size).toBe(300_000n);
      const ranges = [
        [0, 10],
        [1, 99_999],
        [299_990, 10],
        [299_990, 100],
        [150_000, 1_000_000],
        [0, 300_000],
      ] as const;
      for (const [offset, length] of ranges) {
        const piece = await reader.read(BigInt(offset), length);
        expect(data.subarray(offset, offset + length).equals(piece)).toBe(true);
      }
      expect(await reader.read(300_000n, 10)).toHaveLength(0);
      expect(await reader.read(1_000_000n, 10)).toHaveLength(0);
      expect(await reader.read(5n, 0)).toHaveLength(0);
      await reader.close();
    }),
  );

  test(
    "reads into the caller's buffer, or does without",
    withStore(async (opened) => {
      const data = sample("buffer", 100_000);
      const reader = await opened.store.reader(opened.ctx, await writeBlob(opened, data));
      const buffer = Buffer.alloc(40_000);
      for (let at = 0; at < data.length; at += buffer.length) {
        const piece = await reader.read(BigInt(at), buffer.length, buffer);
        expect(data.subarray(at, at + buffer.length).equals(piece)).toBe(true);
      }
      expect(data.equals(await reader.read(0n, 100_000, buffer))).toBe(true);
      await reader.close();
    }),
  );

  test(
    "one reader serves several reads at once",
    withStore(async (opened) => {
      const data = sample("parallel", 500_000);
      const reader = await opened.store.reader(opened.ctx, await writeBlob(opened, data));
      const offsets = Array.from({ length: 20 }, (_, i) => i * 25_000);
      const pieces = await Promise.all(offsets.map((offset) => reader.read(BigInt(offset), 25_000)));
      expect(Buffer.concat(pieces).equals(data)).toBe(true);
      await reader.close();
    }),
  );

  test(
    "a local file, when there is one, has exactly the blob's bytes",
    withStore(async (opened) => {
      const data = sample("path", 70_000);
      const reader = await opened.store.reader(opened.ctx, await writeBlob(opened, data));
      if (reader.path !== undefined) expect((await readFile(reader.path)).equals(data)).toBe(true);
      await reader.close();
    }),
  );

  test(
    "a negative offset does not read",
    withStore(async (opened) => {
      const reader = await opened.store.reader(opened.ctx, await writeBlob(opened, sample("negative", 10)));
      await expectKind(reader.read(-1n, 5), "out-of-range", "invalid-argument");
      await reader.close();
    }),
  );

  test(
    "an open reader outlives the blob",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("outlive", 50_000);
      const digest = await writeBlob(opened, data);
      const reader = await store.reader(ctx, digest);
      await reader.read(0n, 10);
      await store.delete(ctx, digest);
      await expectKind(store.reader(ctx, digest), "not-found");
      await reader.close();
    }),
  );

  test(
    "an unknown blob is not found",
    withStore(async ({ store, ctx }) => {
      await expectKind(store.reader(ctx, digestOf(Buffer.from("unknown"))), "not-found");
      await expectKind(store.reader(ctx, "sha256:zz"), "not-found", "invalid-argument");
      await expectKind(store.reader(ctx, "sha256:../../../../etc/passwd"), "not-found", "invalid-argument");
    }),
  );
}
