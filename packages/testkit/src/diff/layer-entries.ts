/**
 * Reads the headers of a layer that a differ wrote: plain tar with PAX or GNU long names, nothing hostile. It shares
 * nothing with `@ctrd/archive`.
 *
 * @module
 */

/** One entry. */
export interface LayerEntry {
  /** Without a slash at the end. */
  path: string;
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` FIFO. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since the epoch, with their fraction if the entry has one. */
  mtime: number;
  linkname: string;
  userName: string;
  groupName: string;
  device: [major: number, minor: number];
  /** PAX records of the entry itself, values in Latin-1. */
  pax: Map<string, string>;
}

const block = 512;

/** All entries in order. @throws Error when the tar ends early or is none */
export function layerEntries(tar: Buffer): LayerEntry[] {
  const entries: LayerEntry[] = [];
  let pax = new Map<string, string>();
  let offset = 0;
  while (tar.subarray(offset, offset + block).some((byte) => byte !== 0)) {
    const header = tar.subarray(offset, offset + block);
    if (header.toString("latin1", 257, 262) !== "ustar") throw new Error(`no tar header at ${offset}`);
    const entry = readHeader(header);
    const data = tar.subarray(offset + block, offset + block + entry.size);
    if (data.length !== entry.size) throw new Error(`entry "${entry.path}" at ${offset} ends early`);
    offset += block + Math.ceil(entry.size / block) * block;
    if (entry.type === "x") pax = new Map([...pax, ...paxRecords(data)]);
    else if (entry.type === "L") pax.set("path", text(data));
    else if (entry.type === "K") pax.set("linkpath", text(data));
    else if (entry.type !== "g") {
      entries.push(withRecords(entry, pax));
      pax = new Map();
    }
  }
  return entries;
}

function readHeader(header: Buffer): LayerEntry {
  const prefix = text(header.subarray(345, 500));
  const name = text(header.subarray(0, 100));
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    type: String.fromCharCode(header[156] || 0x30),
    mode: octal(header, 100, 8),
    uid: octal(header, 108, 8),
    gid: octal(header, 116, 8),
    size: octal(header, 124, 12),
    mtime: octal(header, 136, 12),
    linkname: text(header.subarray(157, 257)),
    userName: text(header.subarray(265, 297)),
    groupName: text(header.subarray(297, 329)),
    device: [octal(header, 329, 8), octal(header, 337, 8)],
    pax: new Map(),
  };
}

function withRecords(entry: LayerEntry, pax: Map<string, string>): LayerEntry {
  return {
    ...entry,
    path: utf8(pax.get("path") ?? "") || entry.path,
    linkname: utf8(pax.get("linkpath") ?? "") || entry.linkname,
    mtime: Number(pax.get("mtime") ?? entry.mtime),
    uid: Number(pax.get("uid") ?? entry.uid),
    gid: Number(pax.get("gid") ?? entry.gid),
    pax,
  };
}

function paxRecords(data: Buffer): [string, string][] {
  const records: [string, string][] = [];
  for (let at = 0; at < data.length;) {
    const length = Number.parseInt(data.toString("latin1", at, data.indexOf(0x20, at)), 10);
    const record = data.toString("latin1", data.indexOf(0x20, at) + 1, at + length - 1);
    const equals = record.indexOf("=");
    records.push([record.slice(0, equals), record.slice(equals + 1)]);
    at += length;
  }
  return records;
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString();
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

/** Octal digits, or base 256 when the first bit is set. */
function octal(header: Buffer, at: number, width: number): number {
  const field = header.subarray(at, at + width);
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(text(field).trim() || "0", 8);
  return field.subarray(1).reduce((value, byte) => value * 256 + byte, (field[0] ?? 0) & 0x7f);
}
