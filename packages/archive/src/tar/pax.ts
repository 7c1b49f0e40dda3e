/**
 * PAX extended headers: records `<length> <key>=<value>\n`.
 *
 * @module
 */
import type { FileTime } from "@ctrd/sys";
import { invalidArchive } from "./invalid-archive.ts";

/** Prefix of records that hold extended attributes. */
export const xattrPrefix = "SCHILY.xattr.";

/** Records in order: GNU's sparse format 0.0 repeats keys. */
export type PaxRecords = (readonly [key: string, value: Buffer])[];

/** Keys whose values are names; a NUL would cut them. */
const nameKeys: ReadonlySet<string> = new Set(["path", "linkpath", "uname", "gname", "GNU.sparse.name"]);

/** @throws ContainerdError `invalid-argument` */
export function parsePaxRecords(data: Buffer): PaxRecords {
  const records: PaxRecords = [];
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = data.toString("latin1", at, space < 0 ? at : space);
    const length = /^[1-9]\d{0,8}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (length === 0 || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a) {
      throw invalidArchive("malformed PAX record");
    }
    const key = data.toString("latin1", space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key === "" || key.includes("\0") || (nameKeys.has(key) && value.includes(0))) {
      throw invalidArchive("PAX record with an empty key or a NUL in a name");
    }
    // A copy: `data` may be part of a large buffer that xattrs must not keep alive.
    records.push([key, Buffer.from(value)]);
    at = end;
  }
  return records;
}

/** Makes one record; `length` counts its own digits. */
export function formatPaxRecord(key: string, value: Uint8Array): Buffer {
  const rest = Buffer.byteLength(key) + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

/** A time: seconds with an optional fraction, maybe negative. */
export function parsePaxTime(text: string, field: string): FileTime {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw invalidArchive(`${field} "${text}" is not a time`);
  const seconds = Number(match[2]);
  const nanos = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds, nanos };
  return nanos === 0 ? { seconds: -seconds, nanos } : { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos };
}
