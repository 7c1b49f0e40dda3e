/**
 * Looking into a tree whose owner is not trusted: the kernel resolves every path with the tree's root as `/`, and what
 * follows happens on descriptors.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import type { FileStatus, PathLike } from "@ctrd/sys";
import { AtFlag, close, fstatat, hasErrno, openat, openat2, OpenFlag, ResolveFlag } from "@ctrd/sys";
import type { Kind } from "./paths.ts";

/** An open root. `trusted`: it is this machine's own, and magic links such as /dev/stdin are followed. */
export interface Tree {
  readonly fd: number;
  readonly trusted: boolean;
}

/** An inode that was found, by an `O_PATH` descriptor that the holder closes. */
export interface Found {
  readonly fd: number;
  readonly status: FileStatus;
}

/** The type bits of a mode. */
export const FileType = {
  Fifo: 0o010000,
  Char: 0o020000,
  Directory: 0o040000,
  Block: 0o060000,
  Regular: 0o100000,
  Symlink: 0o120000,
} as const;

export function typeOf({ mode }: FileStatus): number {
  return mode & 0o170000;
}

/** Opens what is at a path; undefined when there is nothing. `follow`: also when it is a symbolic link itself. */
export function find(tree: Tree, path: string, follow: boolean): Found | undefined {
  const flags = OpenFlag.Path | (follow ? 0 : OpenFlag.NoFollow);
  try {
    const fd = tree.trusted
      ? openat(tree.fd, path, flags)
      : openat2(tree.fd, path, flags, 0, ResolveFlag.InRoot | ResolveFlag.NoMagiclinks);
    return found(fd);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** As {@link find}, for a name in an open directory, never following it. */
export function findIn(directory: number, name: PathLike): Found | undefined {
  try {
    return found(openat(directory, name, OpenFlag.Path | OpenFlag.NoFollow));
  } catch (error) {
    // It was removed meanwhile.
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function found(fd: number): Found {
  try {
    return { fd, status: fstatat(fd, "", AtFlag.EmptyPath) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** What is at a path, links followed. */
export function kindAt(tree: Tree, path: string): Kind {
  const there = find(tree, path, true);
  if (there === undefined) return "absent";
  close(there.fd);
  return typeOf(there.status) === FileType.Directory ? "directory" : "other";
}

/** Names in an open directory, as byte strings, in order. */
export function namesIn(directory: number): string[] {
  return readdirSync(`/proc/self/fd/${directory}`, "latin1").sort();
}

/** For system calls. */
export function pathOf(bytes: string): PathLike {
  return Buffer.from(bytes, "latin1");
}
