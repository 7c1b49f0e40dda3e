import { expect, test } from "vitest";
import { collect, expectKind } from "../expectations.ts";
import type { Harness } from "./harness.ts";
import { digestOf, listDigests, readBlob, sample, writeBlob } from "./harness.ts";

/** Tests of info, list and delete. */
export function infoTests({ withStore }: Harness): void {
  test(
    "unknown and malformed digests",
    withStore(async ({ store, ctx }) => {
      const digest = digestOf(Buffer.from("unknown"));
      await expectKind(store.info(ctx, digest), "not-found");
      await expectKind(store.delete(ctx, digest), "not-found");
      for (const malformed of ["", "sha256", "sha256:", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e"]) {
        await expectKind(store.info(ctx, malformed), "not-found", "invalid-argument");
        await expectKind(store.delete(ctx, malformed), "not-found", "invalid-argument");
      }
    }),
  );

  test(
    "an empty store lists nothing",
    withStore(async (opened) => {
      expect(await listDigests(opened)).toEqual([]);
    }),
  );

  test(
    "lists all blobs, or those a filter names",
    withStore(async (opened) => {
      // At the same time: one after the other, 150 flushes take half a minute on a busy disk.
      const digests = await Promise.all(
        Array.from({ length: 150 }, (_, i) => writeBlob(opened, sample(`list ${i}`, i + 1))),
      );
      expect(await listDigests(opened)).toEqual([...digests].sort());
      const [first = "", second = ""] = digests;
      expect(await listDigests(opened, `digest==${first}`)).toEqual([first]);
      expect(await listDigests(opened, `digest==${first}`, `digest==${second}`)).toEqual([first, second].sort());
      expect(await listDigests(opened, `digest!=${first}`)).toHaveLength(149);
      expect(await listDigests(opened, `digest~=^${first.slice(0, 20)}`)).toEqual([first]);
      const [info] = await collect(opened.store.list(opened.ctx, [`digest==${second}`]));
      expect(info).toEqual(await opened.store.info(opened.ctx, second));
      await expectKind(collect(opened.store.list(opened.ctx, ["digest=="])), "invalid-argument");
    }),
  );

  test(
    "a listing may be left early",
    withStore(async (opened) => {
      for (let i = 0; i < 5; i++) await writeBlob(opened, sample(`early ${i}`, 10));
      for await (const info of opened.store.list(opened.ctx, [])) {
        expect(info.size).toBe(10n);
        break;
      }
      expect(await listDigests(opened)).toHaveLength(5);
    }),
  );

  test(
    "a deleted blob is gone, and can be written again",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const data = sample("delete", 1000);
      const kept = await writeBlob(opened, sample("keep", 1000));
      const digest = await writeBlob(opened, data);
      await store.delete(ctx, digest);
      await expectKind(store.info(ctx, digest), "not-found");
      await expectKind(store.reader(ctx, digest), "not-found");
      await expectKind(store.delete(ctx, digest), "not-found");
      expect(await listDigests(opened)).toEqual([kept]);
      await writeBlob(opened, data);
      expect((await readBlob(opened, digest)).equals(data)).toBe(true);
    }),
  );
}
