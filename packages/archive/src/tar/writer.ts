/**
 * Making tar entries in PAX format.
 *
 * @module
 */
import type { TarEntry, TarEntryType } from "./entry.ts";
import { blockSize } from "./header.ts";
import { formatPaxRecord, xattrPrefix } from "./pax.ts";

const typeCharacter: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** Largest values of header fields: 7 and 11 octal digits. */
const maxSmall = 0o7777777;
const maxLarge = 0o77777777777;

/** Two zero blocks end an archive. */
export const endOfArchive: Buffer = Buffer.alloc(2 * blockSize);

/**
 * The header blocks of an entry. What does not fit in the fields of ustar goes into a PAX header. Access times are left
 * out, modification times cut to seconds.
 */
export function formatHeader(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Uint8Array): void => {
    records.push(formatPaxRecord(key, typeof value === "string" ? Buffer.from(value, "latin1") : value));
  };
  const name = fitName(entry.name);
  if (name.rest !== undefined) add("path", entry.name);
  if (entry.linkName.length > 100 || !isAscii(entry.linkName)) add("linkpath", entry.linkName);
  if (entry.size > maxLarge) add("size", String(entry.size));
  if (entry.uid > maxSmall) add("uid", String(entry.uid));
  if (entry.gid > maxSmall) add("gid", String(entry.gid));
  const seconds = entry.modifyTime.seconds;
  if (seconds < 0 || seconds > maxLarge) add("mtime", String(seconds));
  for (const [key, value] of entry.xattrs) add(xattrPrefix + key, value);
  const header = formatBlock(entry, typeCharacter[entry.type], name);
  if (records.length === 0) return header;
  const data = Buffer.concat(records);
  const pax = formatBlock(
    { ...entry, linkName: "", mode: 0o644, uid: 0, gid: 0, size: data.length, modifyTime: { seconds: 0, nanos: 0 } },
    "x",
    { prefix: "", name: paxName(entry.name) },
  );
  return Buffer.concat([pax, data, Buffer.alloc(padding(data.length)), header]);
}

/** Bytes of zero after `size` bytes of data. */
export function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

interface FittedName {
  prefix: string;
  name: string;
  /** Set when it does not fit and must be in a PAX record too. */
  rest?: string;
}

/** Splits a name into ustar's two fields, at a slash. */
function fitName(name: string): FittedName {
  if (isAscii(name)) {
    if (name.length <= 100) return { prefix: "", name };
    const slash = name.lastIndexOf("/", 155);
    const rest = name.slice(slash + 1);
    if (slash > 0 && rest.length <= 100 && rest.length > 0) return { prefix: name.slice(0, slash), name: rest };
  }
  return { prefix: "", name: toAscii(name).slice(0, 100), rest: name };
}

/** Name of a PAX header itself, for readers that take it for a file. */
function paxName(name: string): string {
  const parts = toAscii(name).split("/").filter(Boolean);
  const base = parts.pop() ?? "";
  return [...parts, "PaxHeaders.0", base].join("/").slice(0, 100);
}

function isAscii(text: string): boolean {
  return !/[\x80-\xff]/.test(text);
}

function toAscii(text: string): string {
  return text.replace(/[\x80-\xff]/g, "");
}

function formatBlock(entry: TarEntry, type: string, name: FittedName): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, start: number, digits: number): void => {
    const fits = value >= 0 && value < 8 ** digits;
    block.write((fits ? value : 0).toString(8).padStart(digits, "0"), start, "latin1");
  };
  block.write(name.name, 0, 100, "latin1");
  octal(entry.mode, 100, 7);
  octal(entry.uid, 108, 7);
  octal(entry.gid, 116, 7);
  octal(entry.size, 124, 11);
  octal(entry.modifyTime.seconds, 136, 11);
  block.write(type, 156, "latin1");
  block.write(toAscii(entry.linkName).slice(0, 100), 157, 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(entry.deviceMajor, 329, 7);
  octal(entry.deviceMinor, 337, 7);
  block.write(name.prefix, 345, 155, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
