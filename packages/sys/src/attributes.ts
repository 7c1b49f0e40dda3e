/**
 * Reading and changing what an inode says of itself: mode, owner, times, status.
 *
 * @module
 */
import { AtFlag } from "./at.ts";
import { check, cPath, native, systemCall } from "./native.ts";
import type { PathLike } from "./native.ts";

/** A file time: seconds since the epoch (may be negative) and nanoseconds. */
export interface FileTime {
  seconds: number;
  nanos: number;
}

/** As a time for {@link utimensat}: leave it as it is. */
export const omitTime: FileTime = { seconds: 0, nanos: 0x3ffffffe };
/** As a time for {@link utimensat}: the current time. */
export const currentTime: FileTime = { seconds: 0, nanos: 0x3fffffff };

/** Status of an inode. */
export interface FileStatus {
  /** Type (`S_IF…`) and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  links: number;
  inode: bigint;
  /** Bytes. */
  size: number;
  /** Units of 512 bytes that are allocated. */
  blocks: number;
  /** File system it is on. */
  deviceMajor: number;
  deviceMinor: number;
  /** Device it stands for, for device nodes. */
  rdevMajor: number;
  rdevMinor: number;
  accessTime: FileTime;
  modifyTime: FileTime;
  changeTime: FileTime;
}

const nativeFchmod = native("fchmod", "int", ["int", "uint"]);
const nativeFchmodat = native("fchmodat", "int", ["int", "const char *", "uint", "int"]);
const nativeFchown = native("fchown", "int", ["int", "uint", "uint"]);
const nativeFchownat = native("fchownat", "int", ["int", "const char *", "uint", "uint", "int"]);
const nativeUtimensat = native("utimensat", "int", ["int", "const char *", "void *", "int"]);
// glibc's utimensat refuses a null path.
const nativeFutimens = native("futimens", "int", ["int", "void *"]);
const nativeStatx = systemCall("statx", ["int", "const char *", "int", "uint", "void *"]);

/** Changes permission bits of an open file. */
export function fchmod(fd: number, mode: number): void {
  check(nativeFchmod(fd, mode), "fchmod");
}

/** Changes permission bits of `path`. It follows a symbolic link: use it on names known not to be one. */
export function fchmodat(dirfd: number, path: PathLike, mode: number): void {
  check(nativeFchmodat(dirfd, cPath(path, "fchmodat"), mode, 0), "fchmodat", path);
}

/** Changes owner and group of an open file. */
export function fchown(fd: number, uid: number, gid: number): void {
  check(nativeFchown(fd, uid, gid), "fchown");
}

/** Changes owner and group; with the default flags a symbolic link itself is changed. */
export function fchownat(
  dirfd: number,
  path: PathLike,
  uid: number,
  gid: number,
  flags: number = AtFlag.SymlinkNofollow,
): void {
  check(nativeFchownat(dirfd, cPath(path, "fchownat"), uid, gid, flags), "fchownat", path);
}

const times = new BigInt64Array(4);
const timesBytes = new Uint8Array(times.buffer);

/**
 * Sets access and modification time; with the default flags a symbolic link itself is changed. A `null` path means the
 * descriptor itself (which must not be `O_PATH`).
 */
export function utimensat(
  dirfd: number,
  path: PathLike | null,
  accessTime: FileTime,
  modifyTime: FileTime,
  flags: number = AtFlag.SymlinkNofollow,
): void {
  times[0] = BigInt(accessTime.seconds);
  times[1] = BigInt(accessTime.nanos);
  times[2] = BigInt(modifyTime.seconds);
  times[3] = BigInt(modifyTime.nanos);
  if (path === null) check(nativeFutimens(dirfd, timesBytes), "futimens");
  else check(nativeUtimensat(dirfd, cPath(path, "utimensat"), timesBytes, flags), "utimensat", path);
}

const statusBuffer = Buffer.alloc(256);
const basicStatus = 0x7ff;

/** Status of `path` beneath `dirfd`; with the default flags of a symbolic link itself. */
export function fstatat(dirfd: number, path: PathLike, flags: number = AtFlag.SymlinkNofollow): FileStatus {
  check(nativeStatx(dirfd, cPath(path, "statx"), flags, basicStatus, statusBuffer), "statx", path);
  return parseStatus(statusBuffer);
}

/** Offsets are those of `struct statx`, which is the same on every processor. */
function parseStatus(data: Buffer): FileStatus {
  return {
    links: data.readUInt32LE(16),
    uid: data.readUInt32LE(20),
    gid: data.readUInt32LE(24),
    mode: data.readUInt16LE(28),
    inode: data.readBigUInt64LE(32),
    size: readUnsigned(data, 40),
    blocks: readUnsigned(data, 48),
    accessTime: readTime(data, 64),
    changeTime: readTime(data, 96),
    modifyTime: readTime(data, 112),
    rdevMajor: data.readUInt32LE(128),
    rdevMinor: data.readUInt32LE(132),
    deviceMajor: data.readUInt32LE(136),
    deviceMinor: data.readUInt32LE(140),
  };
}

function readUnsigned(data: Buffer, offset: number): number {
  return data.readUInt32LE(offset + 4) * 0x1_0000_0000 + data.readUInt32LE(offset);
}

function readTime(data: Buffer, offset: number): FileTime {
  return {
    seconds: data.readInt32LE(offset + 4) * 0x1_0000_0000 + data.readUInt32LE(offset),
    nanos: data.readUInt32LE(offset + 8),
  };
}
