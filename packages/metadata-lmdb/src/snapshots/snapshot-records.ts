/**
 * Writing snapshot records together with their indexes: children by parent, and who names a backend key.
 */
import type { MetadataDb } from "../db/database.ts";
import { shortKey } from "../db/keys.ts";
import type { SnapshotRecord } from "../db/records.ts";

/** `[namespace, snapshotter, key]` */
export type SnapshotKey = readonly [namespace: string, snapshotter: string, key: string];

/** Within a write transaction. */
export function putSnapshot(db: MetadataDb, [namespace, snapshotter, key]: SnapshotKey, record: SnapshotRecord): void {
  db.snapshots.put(record, namespace, snapshotter, key);
  db.snapshotBackends.put(true, snapshotter, shortKey(record.backendKey), namespace, shortKey(key));
  if (record.info.parent !== "")
    db.snapshotChildren.put(true, namespace, snapshotter, record.info.parent, shortKey(key));
}

/** Within a write transaction. */
export function removeSnapshot(
  db: MetadataDb,
  [namespace, snapshotter, key]: SnapshotKey,
  record: SnapshotRecord,
): void {
  db.snapshots.remove(namespace, snapshotter, key);
  db.snapshotBackends.remove(snapshotter, shortKey(record.backendKey), namespace, shortKey(key));
  if (record.info.parent !== "") db.snapshotChildren.remove(namespace, snapshotter, record.info.parent, shortKey(key));
}

/** Whether any namespace names the snapshot of the backend. */
export function namesBackend(db: MetadataDb, snapshotter: string, backendKey: string): boolean {
  return !db.snapshotBackends.isEmpty(snapshotter, shortKey(backendKey));
}
