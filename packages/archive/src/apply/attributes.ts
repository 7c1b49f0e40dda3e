/**
 * Giving a made inode its owner, extended attributes, mode and times, in the order in which one does not undo another:
 * changing the owner clears set-id bits and capabilities.
 *
 * @module
 */
import type { FileTime, PathLike } from "@ctrd/sys";
import { AT_FDCWD, AtFlag, fchmodat, fchownat, fstatat, hasErrno, lgetxattr, llistxattr, lsetxattr } from "@ctrd/sys";
import { toPath } from "../byte-string.ts";
import type { TarEntry } from "../tar/entry.ts";
import { invalidArchive } from "../tar/invalid-archive.ts";

/** Seconds of the last time that 64-bit nanoseconds hold; later ones and those before the epoch become the epoch. */
const lastSecond = 9_223_372_036;

/** Refuses ids that a 32-bit uid does not hold; 2^32-1 would mean "leave as it is". */
export function checkOwner(entry: TarEntry): void {
  const valid = (id: number): boolean => id >= 0 && id < 0xffff_ffff;
  if (!valid(entry.uid) || !valid(entry.gid)) throw invalidArchive(`owner ${entry.uid}:${entry.gid} is out of range`);
}

/** Modification time to set. */
export function modifyTimeOf(entry: TarEntry): FileTime {
  return boundTime(entry.modifyTime);
}

/** Access time to set: the later of access and modification time. */
export function accessTimeOf(entry: TarEntry): FileTime {
  const { accessTime, modifyTime } = entry;
  return boundTime(accessTime !== undefined && isLater(accessTime, modifyTime) ? accessTime : modifyTime);
}

function isLater(a: FileTime, b: FileTime): boolean {
  return a.seconds > b.seconds || (a.seconds === b.seconds && a.nanos > b.nanos);
}

function boundTime(time: FileTime): FileTime {
  return time.seconds < 0 || time.seconds > lastSecond ? { seconds: 0, nanos: 0 } : time;
}

/** Path of `name` in the open directory `fd`, for calls that take only a path. Its last part is not followed. */
export function pathIn(fd: number, name: string): PathLike {
  return toPath(`/proc/self/fd/${fd}/${name}`);
}

/** Path of the open inode `fd` itself, which may be `O_PATH`. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Is told of an extended attribute that is not set, and why: "… is not supported by …". */
type LeftOut = (name: string, why: string) => void;

/**
 * Sets the `xattrs` of an entry; `leftOut` is told of those that cannot be set. `trusted.` ones are never taken from a
 * layer: with them it could tell the overlay file system where to look for files.
 */
export function setXattrs(path: PathLike, xattrs: ReadonlyMap<string, Buffer>, leftOut: LeftOut): void {
  const allowed = new Map<string, Buffer>();
  for (const [name, value] of xattrs) {
    if (name.startsWith("trusted.")) leftOut(name, "is not taken from layers");
    else allowed.set(name, value);
  }
  setAll(path, allowed, leftOut);
}

function setAll(path: PathLike, xattrs: ReadonlyMap<string, Buffer>, leftOut: LeftOut): void {
  for (const [name, value] of xattrs) {
    try {
      lsetxattr(path, name, value);
    } catch (error) {
      // The kernel keeps user's attributes only for files and directories.
      const misplaced = name.startsWith("user.") && hasErrno(error, "EPERM");
      if (!misplaced && !hasErrno(error, "EOPNOTSUPP")) throw error;
      leftOut(name, misplaced ? "is only for files and directories" : "is not supported by the file system");
    }
  }
}

/** Copies owner, extended attributes and mode from one open directory to another; overlay's own attributes stay. */
export function copyAttributes(source: number, target: number, leftOut: LeftOut): void {
  const status = fstatat(source, "", AtFlag.EmptyPath);
  fchownat(target, "", status.uid, status.gid, AtFlag.EmptyPath);
  const from = `${pathOf(source)}/.`;
  const names = llistxattr(from).filter((name) => !/^(trusted|user)\.overlay\./.test(name));
  const values = names.map((name): [string, Buffer] => [name, lgetxattr(from, name) ?? Buffer.alloc(0)]);
  setAll(`${pathOf(target)}/.`, new Map(values), leftOut);
  fchmodat(AT_FDCWD, pathOf(target), status.mode & 0o7777);
}
