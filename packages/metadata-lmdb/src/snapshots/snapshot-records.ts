/**
 * Writing snapshot records together with their indexes: children by parent, and who names a backend key.
 */
import type { MetadataDb } from "../db/database.ts";
import type { SnapshotRecord } from "../db/records.ts";

/** `[namespace, snapshotter, key]` */
export type SnapshotKey = readonly [namespace: string, snapshotter: string, key: string];

/** Within a write transaction. */
export function putSnapshot(db: MetadataDb, [namespace, snapshotter, key]: SnapshotKey, record: SnapshotRecord): void {
  db.snapshots.put(record, namespace, snapshotter, key);
  db.snapshotBackends.put(true, snapshotter, record.backendKey, namespace, key);
  if (record.info.parent !== "") db.snapshotChildren.put(true, namespace, snapshotter, record.info.parent, key);
}

/** Within a write transaction. */
export function removeSnapshot(
  db: MetadataDb,
  [namespace, snapshotter, key]: SnapshotKey,
  record: SnapshotRecord,
): void {
  db.snapshots.remove(namespace, snapshotter, key);
  db.snapshotBackends.remove(snapshotter, record.backendKey, namespace, key);
  if (record.info.parent !== "") db.snapshotChildren.remove(namespace, snapshotter, record.info.parent, key);
}
