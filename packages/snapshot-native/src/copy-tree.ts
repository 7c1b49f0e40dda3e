/**
 * Copying a directory tree with all that belongs to its files. Synchronous: for worker threads.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import type { BigIntStats } from "node:fs";
import { AT_FDCWD, hasErrno, lgetxattr, llistxattr, lsetxattr, makeDevice, mknod, utimensat } from "@ctrd/sys";
import type { FileTime } from "@ctrd/sys";
import { FileCopier } from "./copy-file.ts";

/** What one copy remembers. */
interface Copy {
  readonly checkCancelled: () => void;
  readonly files: FileCopier;
  /** `device:inode` of files with several names → the first copy. */
  readonly linked: Map<string, Buffer>;
}

const slash = Buffer.from("/");

/**
 * Copies the contents and the attributes of the directory `source` to the existing empty directory `target`: modes,
 * owners, times, extended attributes, hard links, devices, FIFOs and sockets, holes. Data is shared with the source
 * where the filesystem can.
 *
 * @param checkCancelled called before each file and every 64 MiB; what it throws ends the copy
 * @throws the first failure; `target` is then incomplete
 */
export function copyTree(source: string, target: string, checkCancelled: () => void = () => {}): void {
  const copy: Copy = { checkCancelled, files: new FileCopier(checkCancelled), linked: new Map() };
  copyDirectory(copy, Buffer.from(source), Buffer.from(target), lstatSync(source, { bigint: true }));
}

function copyDirectory(copy: Copy, source: Buffer, target: Buffer, stat: BigIntStats): void {
  for (const name of readdirSync(source, { encoding: "buffer" })) {
    copyEntry(copy, Buffer.concat([source, slash, name]), Buffer.concat([target, slash, name]));
  }
  // Last: entries made inside change the time, and a mode may forbid making them.
  copyAttributes(source, target, stat);
}

function copyEntry(copy: Copy, source: Buffer, target: Buffer): void {
  copy.checkCancelled();
  const stat = lstatSync(source, { bigint: true });
  if (stat.isDirectory()) {
    mkdirSync(target, 0o700);
    copyDirectory(copy, source, target, stat);
    return;
  }
  if (stat.nlink > 1n && linkToFirst(copy, target, stat)) return;
  makeEntry(copy, source, target, stat);
  copyAttributes(source, target, stat);
}

/** Links `target` to the copy of another name of the same file. @returns false when this is the first name */
function linkToFirst(copy: Copy, target: Buffer, stat: BigIntStats): boolean {
  const inode = `${stat.dev}:${stat.ino}`;
  const first = copy.linked.get(inode);
  if (first === undefined) {
    copy.linked.set(inode, target);
    return false;
  }
  linkSync(first, target);
  return true;
}

function makeEntry(copy: Copy, source: Buffer, target: Buffer, stat: BigIntStats): void {
  if (stat.isFile()) copyFile(copy, source, target);
  else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
  else mknod(target, Number(stat.mode), deviceOf(stat.rdev));
}

function copyFile(copy: Copy, source: Buffer, target: Buffer): void {
  const from = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const to = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      copy.files.copy(from, to, fstatSync(from));
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

/** `st_rdev` as the system call takes it: the kernel's encoding has 12 + 20 bits in two parts each. */
function deviceOf(rdev: bigint): ReturnType<typeof makeDevice> {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn);
  return makeDevice(Number(major), Number(minor));
}

function copyAttributes(source: Buffer, target: Buffer, stat: BigIntStats): void {
  lchownSync(target, Number(stat.uid), Number(stat.gid));
  // After the owner, whose change takes set-id bits and capabilities away.
  if (!stat.isSymbolicLink()) chmodSync(target, Number(stat.mode) & 0o7777);
  for (const name of llistxattr(source)) copyAttribute(source, target, name);
  utimensat(AT_FDCWD, target, timeOf(stat.atimeNs), timeOf(stat.mtimeNs));
}

function copyAttribute(source: Buffer, target: Buffer, name: string): void {
  const value = lgetxattr(source, name);
  if (value === undefined) return;
  try {
    lsetxattr(target, name, value);
  } catch (error) {
    // Security modules set their labels themselves and forbid copying them in many policies.
    const isLabel = name.startsWith("security.") && name !== "security.capability";
    if (!isLabel || !hasErrno(error, "EPERM", "EACCES", "EOPNOTSUPP")) throw error;
  }
}

const billion = 1_000_000_000n;

/** Nanoseconds since the epoch, negative before it, as seconds and a positive rest. */
function timeOf(nanos: bigint): FileTime {
  const rest = ((nanos % billion) + billion) % billion;
  return { seconds: Number((nanos - rest) / billion), nanos: Number(rest) };
}
