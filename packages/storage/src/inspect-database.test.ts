import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { afterEach, beforeEach, expect, it } from "vitest";
import { inspectDatabase, readSnapshotRecords } from "./inspect-database.ts";
import { openSnapshotStore } from "./snapshot-store.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ctrd-inspect-"));
  path = join(directory, "metadata.db");
});
afterEach(() => rmSync(directory, { recursive: true }));

it("reads a database that is open, as it is now", async () => {
  const store = openSnapshotStore(path);
  try {
    for (const key of ["a", "b", "c"]) {
      const files = { make: () => {}, discard: () => {} };
      await store.create({ kind: SnapshotKind.Active, key, parent: "" }, files);
      expect((await readSnapshotRecords(path)).map(({ info }) => info.name)).toContain(key);
    }
    await store.remove("b");
    expect((await readSnapshotRecords(path)).map(({ id, info }) => [id, info.name])).toEqual([
      ["1", "a"],
      ["3", "c"],
    ]);
    const { tables, records } = await inspectDatabase(path);
    expect(tables).toBe(3);
    expect(records).toBeGreaterThanOrEqual(2);
  } finally {
    await store.close();
  }
});

it("tells what is damaged, without a crash", async () => {
  await openSnapshotStore(path).close();
  const other = join(directory, "other.db");
  await expect(inspectDatabase(other)).rejects.toThrow(/ENOENT/);
  writeFileSync(other, "no database at all");
  await expect(inspectDatabase(other)).rejects.toMatchObject({ kind: "data-loss" });
  cpSync(path, other);
  truncateSync(other, 2 * 4096);
  await expect(inspectDatabase(other)).rejects.toThrow(/truncated/);
  expect(readFileSync(other)).toHaveLength(2 * 4096);
});
