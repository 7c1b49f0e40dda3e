/**
 * What must be known of an LMDB file before it is opened: lmdb-js 3.5 crashes (SIGSEGV) on a file that is not a
 * database, and LMDB trusts its map, so a missing page of a truncated file, or no room for the sparse lock file, would
 * kill the process with SIGBUS.
 */
import { closeSync, fstatSync, openSync, readSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { dataLoss, resourceExhausted } from "@ctrd/core/errors";

const magic = 0xbeefc0de;
/** Data format of LMDB 0.9.90 and later. */
const dataVersion = 2;
const metaPageFlag = 0x08;
/** Enough for a new file, its lock file and a first transaction. */
export const neededBytes: number = 1 << 20;
/** Header of a page, before its meta record. */
const pageHeader = 24;
const metaSize = 160;
/** Offsets within a page whose content is a meta record. */
const offsets = {
  flags: 18,
  magic: pageHeader,
  version: 28,
  pageSize: 48,
  freeRoot: 88,
  mainRoot: 136,
  txnid: 152,
} as const;
/** Page number of an empty tree. */
const noPage = 0xffff_ffff_ffff_ffffn;

/** Bytes that can be written to the filesystem of `path`. */
export function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(dirname(path));
  return bavail * bsize;
}

/** @throws `resource-exhausted` when the filesystem of `path` has no room to open a database. */
export function checkSpace(path: string): void {
  if (freeBytes(path) >= neededBytes) return;
  throw resourceExhausted(`open database ${path}: less than ${neededBytes} bytes free on its filesystem (free some)`);
}

/** @throws `data-loss` when `path` is not a database or lacks pages that it must have. An empty file is a new one. */
export function checkFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw damaged(path, "not a regular file");
    const { size } = stat;
    if (size === 0) return;
    const meta = newestMeta(fd, size);
    if (meta === undefined) throw damaged(path, "not an LMDB database of format 2");
    const pages = BigInt(Math.floor(size / meta.pageSize));
    for (const root of [meta.freeRoot, meta.mainRoot]) {
      if (root !== noPage && root >= pages) throw damaged(path, `truncated: page ${root} of ${pages} is missing`);
    }
  } finally {
    closeSync(fd);
  }
}

function damaged(path: string, why: string): Error {
  return dataLoss(`open database ${path}: ${why} (restore it from a backup, or move it away to start empty)`);
}

interface Meta {
  readonly pageSize: number;
  readonly freeRoot: bigint;
  readonly mainRoot: bigint;
  readonly txnid: bigint;
}

/** The two first pages hold a meta record each; the one of the later transaction counts. */
function newestMeta(fd: number, size: number): Meta | undefined {
  const first = readMeta(fd, 0);
  if (first === undefined || first.pageSize < 512 || first.pageSize > 65_536) return undefined;
  if (size < 2 * first.pageSize) return undefined;
  const second = readMeta(fd, first.pageSize);
  return second !== undefined && second.txnid > first.txnid ? { ...second, pageSize: first.pageSize } : first;
}

function readMeta(fd: number, position: number): Meta | undefined {
  const page = Buffer.alloc(metaSize);
  if (readSync(fd, page, 0, metaSize, position) < metaSize) return undefined;
  if (page.readUInt32LE(offsets.magic) !== magic || (page.readUInt16LE(offsets.flags) & metaPageFlag) === 0)
    return undefined;
  // The upper half of the version holds flags.
  if ((page.readUInt32LE(offsets.version) & 0xffff) !== dataVersion) return undefined;
  return {
    pageSize: page.readUInt32LE(offsets.pageSize),
    freeRoot: page.readBigUInt64LE(offsets.freeRoot),
    mainRoot: page.readBigUInt64LE(offsets.mainRoot),
    txnid: page.readBigUInt64LE(offsets.txnid),
  };
}
