/**
 * Calls on open files: locks, copies, holes, flushing.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { constants } from "node:os";
import { hasErrno, SysError } from "./errno.ts";
import { check, cPath, native, nativeAsync, systemCall } from "./native.ts";
import type { PathLike } from "./native.ts";

/** Operations of {@link flock}. */
export const LockOperation = { Shared: 1, Exclusive: 2, NonBlocking: 4, Unlock: 8 } as const;
/** Modes of {@link fallocate}; 0 allocates. */
export const FallocateMode = { KeepSize: 1, PunchHole: 2, ZeroRange: 16 } as const;

/** A file system's size and kind. */
export interface FileSystemStatus {
  /** Magic number, for example of {@link FileSystemMagic}. */
  type: number;
  /** Bytes in a block. */
  blockSize: number;
  blocks: bigint;
  freeBlocks: bigint;
  /** Free blocks for others than root. */
  availableBlocks: bigint;
  inodes: bigint;
  freeInodes: bigint;
  /** Longest file name in bytes. */
  nameLength: number;
  /** `ST_…` flags; 1 is read-only. */
  flags: number;
}

/** Magic numbers of file systems. */
export const FileSystemMagic = {
  btrfs: 0x9123683e,
  ext4: 0xef53,
  overlay: 0x794c7630,
  tmpfs: 0x01021994,
  xfs: 0x58465342,
  cgroup2: 0x63677270,
  /** Files that are namespaces. */
  nsfs: 0x6e736673,
} as const;

const nativeStatfs = native("statfs", "int", ["const char *", "void *"]);
const nativeFsync = native("fsync", "int", ["int"]);
const asyncSyncfs = nativeAsync("syncfs", "int", ["int"]);
const nativeSyncfs = native("syncfs", "int", ["int"]);
const nativeFlock = native("flock", "int", ["int", "int"]);
const nativeIoctl = native("ioctl", "int", ["int", "ulong", "long"]);
const nativeFallocate = native("fallocate", "int", ["int", "int", "int64_t", "int64_t"]);
const nativeLseek = native("lseek", "long", ["int", "int64_t", "int"]);
const nativeCopy = native("copy_file_range", "long", ["int", "void *", "int", "void *", "size_t", "uint"]);

/** Status of the file system that `path` is on. */
export function statfs(path: PathLike): FileSystemStatus {
  const data = Buffer.alloc(160);
  check(nativeStatfs(cPath(path, "statfs"), data), "statfs", path);
  return {
    type: data.readUInt32LE(0),
    blockSize: data.readUInt32LE(8),
    blocks: data.readBigUInt64LE(16),
    freeBlocks: data.readBigUInt64LE(24),
    availableBlocks: data.readBigUInt64LE(32),
    inodes: data.readBigUInt64LE(40),
    freeInodes: data.readBigUInt64LE(48),
    nameLength: data.readUInt32LE(64),
    flags: data.readUInt32LE(80),
  };
}

/** Flushes one file, or a directory's entries. */
export function fsync(fd: number): void {
  check(nativeFsync(fd), "fsync");
}

/** Flushes the whole file system that `fd` is on. */
export function syncfs(fd: number): void {
  check(nativeSyncfs(fd), "syncfs");
}

/**
 * Writes everything of the file system that `path` is on to its disk, without holding up this thread.
 *
 * @throws SysError; of the flushing itself always EIO, which is the one that says what it means for the data
 */
export async function syncFileSystem(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    if ((await asyncSyncfs(file.fd)) === -1) throw new SysError(constants.errno.EIO, "syncfs", path);
  } finally {
    await file.close();
  }
}

/**
 * Locks or unlocks an open file; `operation` is of {@link LockOperation}.
 *
 * @throws SysError `EAGAIN` with `NonBlocking` when another has the lock
 */
export function flock(fd: number, operation: number): void {
  check(nativeFlock(fd, operation), "flock");
}

/** Makes `target` share all of `source`'s blocks. @throws SysError `EOPNOTSUPP`, `EXDEV`, `EINVAL` where it cannot */
export function reflink(source: number, target: number): void {
  const FICLONE = 0x40049409;
  check(nativeIoctl(target, FICLONE, source), "ioctl FICLONE");
}

/** Copies up to `length` bytes between the files' current offsets inside the kernel; returns how many, 0 at the end. */
export function copyFileRange(source: number, target: number, length: number): number {
  return check(nativeCopy(source, null, target, null, length, 0), "copy_file_range");
}

/** Allocates, or with a mode of {@link FallocateMode} frees, a range of bytes. */
export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  check(nativeFallocate(fd, mode, offset, length), "fallocate");
}

/** First offset from `offset` on that holds data. @throws SysError `ENXIO` when only a hole follows */
export function seekData(fd: number, offset: number): number {
  return check(nativeLseek(fd, offset, 3), "lseek SEEK_DATA");
}

/** First offset from `offset` on that is a hole; the end of the file counts as one. */
export function seekHole(fd: number, offset: number): number {
  return check(nativeLseek(fd, offset, 4), "lseek SEEK_HOLE");
}

/** Sets the file offset. */
export function seekSet(fd: number, offset: number): void {
  check(nativeLseek(fd, offset, 0), "lseek");
}

/** Keeps an open file from being inherited by programs that this process starts. */
export function setCloseOnExec(fd: number): void {
  const FIOCLEX = 0x5451;
  check(nativeIoctl(fd, FIOCLEX, 0), "ioctl FIOCLEX");
}

const nativeCloseRange = systemCall("close_range", ["uint", "uint", "uint"]);

/** Keeps every open file from descriptor `first` on from being inherited by programs that this process starts. */
export function closeOnExecFrom(first: number): void {
  const CLOSE_RANGE_CLOEXEC = 4;
  if (nativeCloseRange(first, 0xffff_ffff, CLOSE_RANGE_CLOEXEC) === 0) return;
  // Before Linux 5.11, or forbidden by a seccomp filter.
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd < first) continue;
    try {
      setCloseOnExec(fd);
    } catch (error) {
      // The descriptor with which the directory was read, or one that another thread has closed.
      if (!hasErrno(error, "EBADF")) throw error;
    }
  }
}
