/**
 * Records of the history: envelopes, each with its length and a checksum in front.
 */
import { Envelope as EnvelopeMessage } from "@ctrd/api/types/event";
import type { Envelope } from "@ctrd/core/events";
import { crc32 } from "node:zlib";

/** An envelope that has its place. */
export type NumberedEnvelope = Envelope & { readonly sequence: bigint };

/** Bytes in front of a record: length and CRC-32 of what follows, little-endian. */
const headerBytes = 8;
/** No event comes near; a length beyond it is damage. */
const maxRecordBytes = 64 << 20;

/** An envelope as bytes of the history. */
export function encodeRecord(envelope: NumberedEnvelope): Buffer {
  const body = EnvelopeMessage.encode(envelope).finish();
  const record = Buffer.allocUnsafe(headerBytes + body.length);
  record.writeUInt32LE(body.length, 0);
  record.writeUInt32LE(crc32(body), 4);
  record.set(body, headerBytes);
  return record;
}

/** What was read from a piece of the history. */
export interface ReadRecords {
  readonly envelopes: NumberedEnvelope[];
  /** Bytes of whole records; what follows is the beginning of one more, or damage. */
  readonly bytes: number;
  /** Whether what follows cannot be a record. */
  readonly damaged: boolean;
  /** Bytes that the next record needs to be whole, when its length is there. */
  readonly needed: number;
}

/** Reads the whole records that `data` begins with. */
export function decodeRecords(data: Buffer): ReadRecords {
  const envelopes: NumberedEnvelope[] = [];
  const { bytes, damaged, needed } = eachRecord(data, (body) => {
    const envelope = EnvelopeMessage.decode(body);
    envelopes.push({ ...envelope, sequence: envelope.sequence ?? 0n });
  });
  return { envelopes, bytes, damaged, needed };
}

/** Calls `visit` for the body of each whole record that `data` begins with. */
export function eachRecord(data: Buffer, visit: (body: Buffer) => void): Omit<ReadRecords, "envelopes"> {
  let at = 0;
  while (at + headerBytes <= data.length) {
    const length = data.readUInt32LE(at);
    if (length === 0 || length > maxRecordBytes) return { bytes: at, damaged: true, needed: 0 };
    const end = at + headerBytes + length;
    if (end > data.length) return { bytes: at, damaged: false, needed: headerBytes + length };
    const body = data.subarray(at + headerBytes, end);
    if (crc32(body) !== data.readUInt32LE(at + 4)) return { bytes: at, damaged: true, needed: 0 };
    visit(body);
    at = end;
  }
  return { bytes: at, damaged: false, needed: headerBytes };
}
