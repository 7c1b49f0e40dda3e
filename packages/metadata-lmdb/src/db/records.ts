/**
 * Records that the API has no message for: a header of length-prefixed strings, then a message of the API.
 */
import type { IngestStatus } from "@ctrd/core/content";
import { dataLoss } from "@ctrd/core/errors";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import { Status } from "@ctrd/api/services/content/v1/content";
import { Info } from "@ctrd/api/services/snapshots/v1/snapshots";
import type { Codec } from "./table.ts";

/** A snapshot of a namespace, and the key under which its snapshotter knows it. */
export interface SnapshotRecord {
  readonly backendKey: string;
  readonly info: SnapshotInfo;
}

/** An ingest of a namespace. */
export interface IngestRecord {
  /** Ref under which the backend knows it. */
  readonly backendRef: string;
  /** Milliseconds since the epoch after which it is collected; 0 for one that lives as long as its lease. */
  readonly expiresAt: number;
  /** Ref, start, and for a shared blob `expected` and `total`: the backend then has no ingest. */
  readonly status: IngestStatus;
}

export const snapshotCodec: Codec<SnapshotRecord> = {
  encode: ({ backendKey, info }) => ({ finish: () => join([backendKey], Info.encode(info).finish()) }),
  decode(bytes) {
    const { header, body } = split(bytes, 1);
    return { backendKey: header[0] ?? "", info: Info.decode(body) as SnapshotInfo };
  },
};

/** Tags of the first two fields of an Info, both strings: `name` and `parent`. */
const nameTag = 0x0a;
const parentTag = 0x12;

/** The parent in an encoded {@link SnapshotRecord}: a tenth of the time that decoding all of it takes. */
export function snapshotParent(bytes: Uint8Array): string {
  const { body } = split(bytes, 1);
  let at = 0;
  while (at < body.length) {
    const tag = body[at++];
    if (tag !== nameTag && tag !== parentTag) return "";
    let length = 0;
    let byte = 0x80;
    for (let shift = 0; byte >= 0x80 && shift < 28; shift += 7) {
      byte = body[at++] ?? 0;
      length |= (byte & 0x7f) << shift;
    }
    if (tag === parentTag) return body.toString("utf8", at, at + length);
    at += length;
  }
  return "";
}

export const ingestCodec: Codec<IngestRecord> = {
  encode: ({ backendRef, expiresAt, status }) => ({
    finish: () => join([backendRef, String(expiresAt)], Status.encode(status).finish()),
  }),
  decode(bytes) {
    const { header, body } = split(bytes, 2);
    return { backendRef: header[0] ?? "", expiresAt: Number(header[1]), status: Status.decode(body) };
  },
};

/** Each string with a length of 16 bits, then the body. Keys are at most a few KiB. */
function join(strings: readonly string[], body: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const text of strings) {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(2);
    length.writeUInt16LE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat([...parts, body]);
}

function split(bytes: Uint8Array, count: number): { header: string[]; body: Buffer } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header: string[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 2 > buffer.length) throw dataLoss("read metadata record: truncated (restore the database from a backup)");
    const end = at + 2 + buffer.readUInt16LE(at);
    header.push(buffer.toString("utf8", at + 2, end));
    at = end;
  }
  return { header, body: buffer.subarray(at) };
}
