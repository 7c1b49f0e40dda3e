/**
 * The 512-byte header block, reading.
 *
 * @module
 */
import { invalidArchive } from "./invalid-archive.ts";
import { readNumber } from "./numbers.ts";

export const blockSize = 512;

/** A header block's fields. Names are byte strings. */
export interface RawHeader {
  /** Type character. */
  type: string;
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes that follow in the archive. */
  size: number;
  modifySeconds: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Whether it has GNU's fields in place of the prefix. */
  gnu: boolean;
}

/** Whether the block is all zero, as at the end of an archive. */
export function isZeroBlock(block: Buffer): boolean {
  if (block[0] !== 0) return false;
  for (let index = 1; index < blockSize; index++) if (block[index] !== 0) return false;
  return true;
}

/** @throws ContainerdError `invalid-argument` */
export function parseHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const magic = block.toString("latin1", 257, 265);
  const gnu = magic === "ustar  \0";
  const posix = magic.startsWith("ustar\0");
  const name = readText(block, 0, 100);
  const prefix = posix ? readText(block, 345, isStar(block) ? 131 : 155) : "";
  return {
    type: String.fromCharCode(block[156] ?? 0),
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: readText(block, 157, 100),
    mode: readNumber(block, 100, 8, "mode"),
    uid: readNumber(block, 108, 8, "uid"),
    gid: readNumber(block, 116, 8, "gid"),
    size: readNumber(block, 124, 12, "size"),
    modifySeconds: readNumber(block, 136, 12, "mtime"),
    deviceMajor: posix || gnu ? readNumber(block, 329, 8, "device major") : 0,
    deviceMinor: posix || gnu ? readNumber(block, 337, 8, "device minor") : 0,
    gnu,
  };
}

/** star's variant of ustar: a shorter prefix, then times. */
function isStar(block: Buffer): boolean {
  return block.toString("latin1", 508, 512) === "tar\0";
}

/** Text up to the first NUL. */
export function readText(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString("latin1", start, end < 0 || end > start + length ? start + length : end);
}

/** The sum counts the checksum's own field as spaces; old writers summed signed bytes. */
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let index = 0; index < blockSize; index++) {
    if (index === 148) index = 156;
    const byte = block[index] ?? 0;
    unsigned += byte;
    if (byte >= 0x80) high++;
  }
  const expected = readNumber(block, 148, 8, "checksum");
  if (expected !== unsigned && expected !== unsigned - 256 * high) throw invalidArchive("header checksum mismatch");
}
