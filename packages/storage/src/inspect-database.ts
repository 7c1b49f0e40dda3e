/**
 * Looks into databases that a running daemon has open: read only, from another process.
 */
import { dataLoss, messageOf } from "@ctrd/core/errors";
import type { RootDatabase } from "lmdb";
import { open } from "lmdb";
import type { DurableKey } from "./env.ts";
import { checkFile } from "./file-check.ts";
import type { SnapshotRecord } from "./snapshot-record.ts";
import { decodeRecord } from "./snapshot-record.ts";

/** What was found in a database that can be read from beginning to end. */
export interface DatabaseSummary {
  /** Named databases in the file. */
  readonly tables: number;
  readonly records: number;
}

/**
 * Reads every record of a database.
 *
 * @throws `data-loss` when it cannot be opened or read
 */
export async function inspectDatabase(path: string): Promise<DatabaseSummary> {
  return withReader(path, (root) => {
    const names = Array.from(root.getKeys({ snapshot: false }), String);
    const records = names.map((name) => {
      const table = root.openDB<Uint8Array, DurableKey>({ name, encoding: "binary" });
      let count = 0;
      for (const { value } of table.getRange()) count += value.length >= 0 ? 1 : 0;
      return count;
    });
    return { tables: names.length, records: records.reduce((sum, count) => sum + count, 0) };
  });
}

/**
 * The records of a snapshotter that `openSnapshotStore` has written.
 *
 * @throws `data-loss` when they cannot be read
 */
export async function readSnapshotRecords(path: string): Promise<SnapshotRecord[]> {
  return withReader(path, (root) => {
    const table = root.openDB<Uint8Array, DurableKey>({ name: "snapshots", encoding: "binary" });
    return Array.from(table.getRange(), ({ key, value }) => decodeRecord(String(key), value));
  });
}

async function withReader<T>(path: string, body: (root: RootDatabase<Uint8Array, DurableKey>) => T): Promise<T> {
  let root: RootDatabase<Uint8Array, DurableKey> | undefined;
  try {
    // Before LMDB, which would end the process over a file that is none of its own.
    checkFile(path);
    root = open<Uint8Array, DurableKey>({ path, noSubdir: true, encoding: "binary", maxDbs: 64, readOnly: true });
    return body(root);
  } catch (error) {
    throw dataLoss(`read database ${path}: ${messageOf(error)}`, { cause: error });
  } finally {
    await root?.close();
  }
}
