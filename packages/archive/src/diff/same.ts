/**
 * Whether one name is the same in two trees.
 *
 * @module
 */
import { readSync } from "node:fs";
import type { FileStatus } from "@ctrd/sys";
import { close, hasErrno, lgetxattr, openat, OpenFlag, readlinkat } from "@ctrd/sys";
import { pathIn } from "../apply/attributes.ts";
import { toPath } from "../byte-string.ts";

export const capabilityXattr = "security.capability";

const typeMask = 0o170000;

/**
 * Compares type, mode, owner, device and capabilities; of others than directories also size and modification time; and
 * contents where both times have no fraction, since they may have been cut to seconds.
 */
export function isSame(lowerFd: number, lower: FileStatus, upperFd: number, upper: FileStatus, name: string): boolean {
  if (isSameInode(lower, upper)) return true;
  if (lower.mode !== upper.mode || lower.uid !== upper.uid || lower.gid !== upper.gid) return false;
  if (lower.rdevMajor !== upper.rdevMajor || lower.rdevMinor !== upper.rdevMinor) return false;
  if (!isSameCapability(lowerFd, upperFd, upper, name)) return false;
  const type = upper.mode & typeMask;
  if (type === 0o040000) return true;
  if (lower.size !== upper.size) return false;
  const [a, b] = [lower.modifyTime, upper.modifyTime];
  if (a.seconds !== b.seconds || a.nanos !== b.nanos) return false;
  if (a.nanos !== 0) return true;
  if (type === 0o120000) return readlinkat(lowerFd, toPath(name)).equals(readlinkat(upperFd, toPath(name)));
  return type !== 0o100000 || upper.size === 0 || isSameContent(lowerFd, upperFd, name);
}

function isSameInode(lower: FileStatus, upper: FileStatus): boolean {
  return (
    lower.inode === upper.inode && lower.deviceMajor === upper.deviceMajor && lower.deviceMinor === upper.deviceMinor
  );
}

/** Only regular files have capabilities. */
function isSameCapability(lowerFd: number, upperFd: number, upper: FileStatus, name: string): boolean {
  if ((upper.mode & typeMask) !== 0o100000) return true;
  const lower = readCapability(lowerFd, name);
  const other = readCapability(upperFd, name);
  return lower === undefined || other === undefined ? lower === other : lower.equals(other);
}

/** The file capabilities of `name`, as the kernel stores them. */
export function readCapability(fd: number, name: string): Buffer | undefined {
  try {
    return lgetxattr(pathIn(fd, name), capabilityXattr);
  } catch (error) {
    // The file system has none.
    if (hasErrno(error, "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

const compareSize = 1 << 18;
let compareBuffers: [Buffer, Buffer] | undefined;

function isSameContent(lowerFd: number, upperFd: number, name: string): boolean {
  compareBuffers ??= [Buffer.allocUnsafeSlow(compareSize), Buffer.allocUnsafeSlow(compareSize)];
  const [a, b] = compareBuffers;
  const flags = OpenFlag.RdOnly | OpenFlag.NoFollow | OpenFlag.NonBlock;
  const lower = openat(lowerFd, toPath(name), flags);
  try {
    const upper = openat(upperFd, toPath(name), flags);
    try {
      for (;;) {
        const length = readSync(lower, a, 0, compareSize, null);
        if (readSync(upper, b, 0, compareSize, null) !== length) return false;
        if (length === 0) return true;
        if (a.compare(b, 0, length, 0, length) !== 0) return false;
      }
    } finally {
      close(upper);
    }
  } finally {
    close(lower);
  }
}
