import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { Harness, OpenedStore } from "./harness.ts";
import { digestOf, listDigests, listRefs, readBlob, sample } from "./harness.ts";
import { testWhen } from "../test-when.ts";

/** Tests of ingests: resume, truncate, status, abort. */
export function ingestTests({ withStore, options }: Harness): void {
  test(
    "an upload goes on where it was left",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("resume", 1_000_000);
      await writeHalf(opened, "resume", data);
      const before = await store.status(ctx, "resume");
      const writer = await store.writer(ctx, { ref: "resume", total: 1_000_000n, expected: digestOf(data) });
      expect(writer.status()).toMatchObject({ ref: "resume", offset: 500_000n, total: 1_000_000n });
      expect(writer.status().startedAt).toEqual(before.startedAt);
      expect(await writer.digest()).toBe(digestOf(data.subarray(0, 500_000)));
      await writer.write(data.subarray(500_000));
      await writer.commit(ctx, { expected: digestOf(data), size: 1_000_000n });
      expect((await readBlob(opened, digestOf(data))).equals(data)).toBe(true);
    }),
  );

  test(
    "an upload resumes without being told the total again",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("total", 5000);
      await writeHalf(opened, "total", data);
      const writer = await store.writer(ctx, { ref: "total" });
      expect(writer.status()).toMatchObject({ offset: 2500n, total: 5000n });
      await writer.close();
    }),
  );

  test(
    "another total starts afresh",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      await writeHalf(opened, "afresh", sample("afresh", 5000));
      const writer = await store.writer(ctx, { ref: "afresh", total: 10n });
      expect(writer.status()).toMatchObject({ offset: 0n, total: 10n });
      await writer.write(sample("other", 10));
      await writer.commit(ctx, { expected: digestOf(sample("other", 10)), size: 10n });
    }),
  );

  test(
    "a resumed upload can be discarded",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      await writeHalf(opened, "discard", sample("discard", 900_000));
      const data = sample("instead", 300_000);
      const writer = await store.writer(ctx, { ref: "discard" });
      await writer.truncate(0n);
      expect(writer.status().offset).toBe(0n);
      await writer.write(data);
      expect(await writer.digest()).toBe(digestOf(data));
      await writer.commit(ctx, { expected: digestOf(data), size: 300_000n });
      expect((await readBlob(opened, digestOf(data))).equals(data)).toBe(true);
    }),
  );

  testWhen(options.partialTruncate !== false)("a writer can be cut to a smaller size", withStore(cutToSize));

  test(
    "status of unknown refs is not found",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      await expectKind(store.status(ctx, "unknown"), "not-found");
      await writeHalf(opened, "known", sample("known", 10));
      await expectKind(store.status(ctx, "unknown"), "not-found");
      const writer = await store.writer(ctx, { ref: "known" });
      await writer.commit(ctx);
      await expectKind(store.status(ctx, "known"), "not-found");
    }),
  );

  test(
    "statuses are listed by filters",
    withStore(async (opened) => {
      for (const ref of ["layer-1", "layer-2", "config/1"]) await writeHalf(opened, ref, sample(ref, 20));
      expect(await listRefs(opened)).toEqual(["config/1", "layer-1", "layer-2"]);
      expect(await listRefs(opened, "ref==layer-1")).toEqual(["layer-1"]);
      expect(await listRefs(opened, "ref~=^layer")).toEqual(["layer-1", "layer-2"]);
      expect(await listRefs(opened, "ref==layer-1", 'ref=="config/1"')).toEqual(["config/1", "layer-1"]);
      expect(await listRefs(opened, "ref==layer-1,ref==layer-2")).toEqual([]);
      const [status] = await opened.store.listStatuses(opened.ctx, ["ref==layer-1"]);
      expect(status).toMatchObject({ ref: "layer-1", offset: 10n, total: 20n });
      await expectKind(opened.store.listStatuses(opened.ctx, ["ref=="]), "invalid-argument");
    }),
  );

  test(
    "an aborted ingest is gone",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      await writeHalf(opened, "abort", sample("abort", 2000));
      await store.abort(ctx, "abort");
      await expectKind(store.status(ctx, "abort"), "not-found");
      await expectKind(store.abort(ctx, "abort"), "not-found");
      expect(await listRefs(opened)).toEqual([]);
      const writer = await store.writer(ctx, { ref: "abort" });
      expect(writer.status().offset).toBe(0n);
      await writer.close();
    }),
  );

  test(
    "a writer whose ingest is aborted cannot commit",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const writer = await store.writer(ctx, { ref: "pulled" });
      await writer.write(sample("pulled", 100));
      await store.abort(ctx, "pulled");
      await expect(writer.commit(ctx)).rejects.toThrow();
      expect(await listDigests(opened)).toEqual([]);
      expect(await listRefs(opened)).toEqual([]);
    }),
  );

  test(
    "refs may have any characters and length",
    withStore(async (opened) => {
      const refs = ["../../etc/passwd", "a b\nc", "ü/☃", "x".repeat(1000), "layer-sha256:0123@1"];
      for (const ref of refs) await writeHalf(opened, ref, sample(ref, 4));
      expect(await listRefs(opened)).toEqual([...refs].sort());
      for (const ref of refs) expect(await opened.store.status(opened.ctx, ref)).toMatchObject({ ref, offset: 2n });
    }),
  );
}

/** Writes the first half of `data` and closes. */
async function writeHalf({ store, ctx }: OpenedStore, ref: string, data: Uint8Array): Promise<void> {
  const writer = await store.writer(ctx, { ref, total: BigInt(data.length) });
  await writer.write(data.subarray(0, data.length / 2));
  await writer.close();
}

async function cutToSize(opened: OpenedStore): Promise<void> {
  const { store, ctx } = opened;
  const data = sample("cut", 800_000);
  const writer = await store.writer(ctx, { ref: "cut" });
  await writer.write(data);
  await expectKind(writer.truncate(800_001n), "invalid-argument");
  await expectKind(writer.truncate(-1n), "invalid-argument");
  for (const size of [600_000, 100]) {
    await writer.truncate(BigInt(size));
    expect(writer.status().offset).toBe(BigInt(size));
    expect(await writer.digest()).toBe(digestOf(data.subarray(0, size)));
  }
  await writer.write(data.subarray(100, 500));
  await writer.commit(ctx, { expected: digestOf(data.subarray(0, 500)), size: 500n });
  expect(await readBlob(opened, digestOf(data.subarray(0, 500)))).toHaveLength(500);
}
