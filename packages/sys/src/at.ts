/**
 * System calls on a path beneath a directory descriptor. They make changes that no swapped symbolic link can redirect.
 *
 * @module
 */
import { check, cPath, lastErrno, native, systemCall } from "./native.ts";
import type { PathLike } from "./native.ts";
import { OpenFlag } from "./open-flags.ts";

/** In place of a directory descriptor: the current directory. */
export const AT_FDCWD: number = -100;

/** Flags of the at-family. */
export const AtFlag = {
  SymlinkNofollow: 0x100,
  RemoveDir: 0x200,
  SymlinkFollow: 0x400,
  EmptyPath: 0x1000,
} as const;

/** Flags of `renameat2`. */
export const RenameFlag = { NoReplace: 1, Exchange: 2, Whiteout: 4 } as const;

/** How `openat2` resolves a path. */
export const ResolveFlag = {
  /** Fail (`EXDEV`) when a mount point is crossed. */
  NoXdev: 0x01,
  /** Fail (`ELOOP`) on magic links such as those in /proc/<pid>/fd. */
  NoMagiclinks: 0x02,
  /** Fail (`ELOOP`) on any symbolic link. */
  NoSymlinks: 0x04,
  /** Fail (`EXDEV`) when the path leaves the directory. */
  Beneath: 0x08,
  /** Treat the directory as the root: absolute links and `..` stay inside. */
  InRoot: 0x10,
} as const;

const nativeOpenat = native("openat", "int", ["int", "const char *", "int", "uint"]);
const nativeOpenat2 = systemCall("openat2", ["int", "const char *", "void *", "size_t"]);
const nativeClose = native("close", "int", ["int"]);
const nativeMkdirat = native("mkdirat", "int", ["int", "const char *", "uint"]);
const nativeUnlinkat = native("unlinkat", "int", ["int", "const char *", "int"]);
const nativeSymlinkat = native("symlinkat", "int", ["const char *", "int", "const char *"]);
const nativeLinkat = native("linkat", "int", ["int", "const char *", "int", "const char *", "int"]);
const nativeMknodat = systemCall("mknodat", ["int", "const char *", "uint", "uint"]);
const nativeRenameat2 = systemCall("renameat2", ["int", "const char *", "int", "const char *", "uint"]);
const nativeReadlinkat = native("readlinkat", "long", ["int", "const char *", "void *", "size_t"]);

/** Opens `path` beneath `dirfd`; close-on-exec is always set. `flags` are of {@link OpenFlag}. Returns the descriptor. */
export function openat(dirfd: number, path: PathLike, flags: number, mode = 0): number {
  return check(nativeOpenat(dirfd, cPath(path, "openat"), flags | OpenFlag.Cloexec, mode), "openat", path);
}

const openHow = new BigUint64Array(3);
const openHowBytes = new Uint8Array(openHow.buffer);

/**
 * Opens `path` beneath `dirfd` under the rules `resolve` (of {@link ResolveFlag}); close-on-exec is always set.
 * Returns the descriptor. A resolution that raced with a rename (`EAGAIN`) is tried again.
 */
export function openat2(dirfd: number, path: PathLike, flags: number, mode: number, resolve: number): number {
  openHow[0] = BigInt(flags | OpenFlag.Cloexec);
  openHow[1] = BigInt(mode);
  openHow[2] = BigInt(resolve);
  const target = cPath(path, "openat2");
  let result = nativeOpenat2(dirfd, target, openHowBytes, 24);
  for (let tries = 0; result === -1 && tries < 64 && isAgain(); tries++) {
    result = nativeOpenat2(dirfd, target, openHowBytes, 24);
  }
  return check(result, "openat2", path);
}

function isAgain(): boolean {
  return lastErrno() === 11;
}

/** Closes a descriptor. */
export function close(fd: number): void {
  check(nativeClose(fd), "close");
}

/** Makes a directory. `mode` is subject to the umask. */
export function mkdirat(dirfd: number, path: PathLike, mode: number): void {
  check(nativeMkdirat(dirfd, cPath(path, "mkdirat"), mode), "mkdirat", path);
}

/** Removes a file, or with `AtFlag.RemoveDir` an empty directory. */
export function unlinkat(dirfd: number, path: PathLike, flags = 0): void {
  check(nativeUnlinkat(dirfd, cPath(path, "unlinkat"), flags), "unlinkat", path);
}

/** Makes the symbolic link `path` with the text `target`. */
export function symlinkat(target: PathLike, dirfd: number, path: PathLike): void {
  const text = cPath(target, "symlinkat");
  check(nativeSymlinkat(text, dirfd, cPath(path, "symlinkat")), "symlinkat", path);
}

/** Makes the hard link `newPath` to `oldPath`; symbolic links are linked, not followed, unless flags say so. */
export function linkat(oldDirfd: number, oldPath: PathLike, newDirfd: number, newPath: PathLike, flags = 0): void {
  const source = cPath(oldPath, "linkat");
  check(nativeLinkat(oldDirfd, source, newDirfd, cPath(newPath, "linkat"), flags), "linkat", newPath);
}

/**
 * Makes a device, fifo or socket. `mode` holds the type (`S_IF…`) and the permission bits, subject to the umask;
 * `device` is made with {@link makeDevice}.
 */
export function mknodat(dirfd: number, path: PathLike, mode: number, device: number): void {
  check(nativeMknodat(dirfd, cPath(path, "mknodat"), mode, device), "mknodat", path);
}

/** A device number from major (12 bits) and minor (20 bits), as the kernel takes it. */
export function makeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** Renames. `flags` are of {@link RenameFlag}. */
export function renameat2(oldDirfd: number, oldPath: PathLike, newDirfd: number, newPath: PathLike, flags = 0): void {
  const source = cPath(oldPath, "renameat2");
  check(nativeRenameat2(oldDirfd, source, newDirfd, cPath(newPath, "renameat2"), flags), "renameat2", newPath);
}

/** The bytes of the symbolic link `path`. */
export function readlinkat(dirfd: number, path: PathLike): Buffer {
  const target = Buffer.alloc(4097);
  const length = nativeReadlinkat(dirfd, cPath(path, "readlinkat"), target, target.length);
  return target.subarray(0, check(length, "readlinkat", path));
}

/** Makes a fifo; `mode` is subject to the umask. */
export function mkfifo(path: PathLike, mode: number): void {
  mknodat(AT_FDCWD, path, 0o010000 | (mode & 0o7777), 0);
}

/** Makes a device, fifo or socket; see {@link mknodat}. */
export function mknod(path: PathLike, mode: number, device: number): void {
  mknodat(AT_FDCWD, path, mode, device);
}
