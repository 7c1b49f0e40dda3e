/**
 * Removing a tree that somebody else may be changing: a container that still runs, say.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { AtFlag, close, openat, RenameFlag, renameat2, unlinkat } from "./at.ts";
import { hasErrno } from "./errno.ts";
import { OpenFlag } from "./open-flags.ts";
import type { PathLike } from "./native.ts";

/** A directory whose entries are being removed. */
interface Level {
  readonly name: PathLike;
  readonly fd: number;
  readonly left: Buffer[];
}

const directoryFlags = OpenFlag.RdOnly | OpenFlag.Directory | OpenFlag.NoFollow;
/** Directories open at once. What is deeper is moved up first, so that no depth takes too many descriptors. */
const deepest = 100;

/**
 * Removes `name` in the open directory `dirfd`, with all that is in it. Nothing there is fine. Symbolic links are
 * removed and never followed, also when one takes the place of a directory meanwhile; neither the depth of the tree nor
 * the length of its paths matters. What is mounted inside is gone through: detach it before.
 *
 * @throws SysError of what cannot be removed; then some of the tree is left
 */
export function removeTreeAt(dirfd: number, name: PathLike): void {
  const levels: Level[] = [];
  try {
    enter(levels, dirfd, name);
    for (let top = levels.at(-1); top !== undefined; top = levels.at(-1)) {
      const next = top.left.pop();
      if (next !== undefined) {
        if (levels.length < deepest || !moveUp(levels, top, next)) enter(levels, top.fd, next);
        continue;
      }
      levels.pop();
      close(top.fd);
      unlink(levels.at(-1)?.fd ?? dirfd, top.name, AtFlag.RemoveDir);
    }
  } finally {
    for (const { fd } of levels) close(fd);
  }
}

/** Removes a file; opens a directory as the next level. */
function enter(levels: Level[], parent: number, name: PathLike): void {
  const fd = removeOrOpen(parent, name);
  if (fd === undefined) return;
  try {
    levels.push({ name, fd, left: readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }) });
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Times that a name may change between file and directory while it is looked at. */
const changes = 100;

function removeOrOpen(parent: number, name: PathLike): number | undefined {
  for (let change = 0; ; change++) {
    let failure: unknown;
    try {
      unlink(parent, name);
      return undefined;
    } catch (error) {
      // EPERM: a directory, to other kernels than Linux; or a file that must not be removed.
      if (!hasErrno(error, "EISDIR", "EPERM")) throw error;
      failure = error;
    }
    try {
      return openat(parent, name, directoryFlags);
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      if (!hasErrno(error, "ENOTDIR", "ELOOP")) throw error;
      if (change === changes || hasErrno(failure, "EPERM")) throw failure;
    }
  }
}

let moved = 0;

/** Makes a directory deep down an entry of the tree's own directory. False for what is no directory, or stays. */
function moveUp(levels: readonly Level[], parent: Level, name: Buffer): boolean {
  const [root] = levels;
  if (root === undefined || root === parent) return false;
  try {
    unlink(parent.fd, name);
    return true;
  } catch (error) {
    if (!hasErrno(error, "EISDIR")) return false;
  }
  const target = Buffer.from(`.removing-${process.pid}-${moved++}`);
  try {
    renameat2(parent.fd, name, root.fd, target, RenameFlag.NoReplace);
  } catch {
    // On an overlay, for one, directories of lower layers do not move. It is removed where it is.
    return false;
  }
  root.left.push(target);
  return true;
}

function unlink(parent: number, name: PathLike, flags = 0): void {
  try {
    unlinkat(parent, name, flags);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
}
