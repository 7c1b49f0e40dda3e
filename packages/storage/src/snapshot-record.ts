/**
 * The stored form of a snapshot: id, size and inodes as three unsigned 64-bit little-endian numbers, then the API's
 * `containerd.services.snapshots.v1.Info` in protobuf. Pure.
 */
import { Info } from "@ctrd/api/services/snapshots/v1/snapshots";
import { dataLoss } from "@ctrd/core/errors";
import type { SnapshotInfo, SnapshotUsage } from "@ctrd/core/snapshots";

/** What is stored of one snapshot. It is never changed in place. */
export interface SnapshotRecord {
  /** Number that names its directory; never given twice. */
  readonly id: string;
  readonly info: Readonly<SnapshotInfo>;
  /** As measured at commit; zero before. */
  readonly usage: Readonly<SnapshotUsage>;
}

const headerSize = 24;

/** Encodes a record. */
export function encodeRecord(record: SnapshotRecord): Uint8Array {
  const info = Info.encode(record.info).finish();
  const bytes = Buffer.allocUnsafe(headerSize + info.length);
  bytes.writeBigUInt64LE(BigInt(record.id), 0);
  bytes.writeBigUInt64LE(record.usage.size, 8);
  bytes.writeBigUInt64LE(record.usage.inodes, 16);
  bytes.set(info, headerSize);
  return bytes;
}

/** Decodes what {@link encodeRecord} made. @throws `data-loss` */
export function decodeRecord(key: string, bytes: Uint8Array): SnapshotRecord {
  try {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return {
      id: view.readBigUInt64LE(0).toString(),
      usage: { size: view.readBigUInt64LE(8), inodes: view.readBigUInt64LE(16) },
      info: Info.decode(view.subarray(headerSize)),
    };
  } catch (error) {
    throw dataLoss(`read snapshot "${key}": unreadable record`, { cause: error });
  }
}

/** A copy of `info` that the caller may change. */
export function copyInfo(info: Readonly<SnapshotInfo>): SnapshotInfo {
  return { ...info, labels: new Map(info.labels) };
}
