/**
 * Finding what changed between two directory trees.
 *
 * @module
 */
import { canceled } from "@ctrd/core/errors";
import type { FileStatus } from "@ctrd/sys";
import { AT_FDCWD, AtFlag, close, fstatat, hasErrno, llistxattr, openat, OpenFlag } from "@ctrd/sys";
import { namesIn } from "../apply/remove.ts";
import { joinPath } from "../apply/paths.ts";
import { toPath } from "../byte-string.ts";
import { isSame } from "./same.ts";

/**
 * One difference. `unchanged` are files with several names: a changed name elsewhere brings the others along. `path` is
 * a byte string, without a leading slash.
 */
export type Change =
  | { kind: "delete"; path: string }
  | { kind: "change" | "unchanged"; path: string; status: FileStatus; parent: number; name: string };

/** Trees to compare. */
export interface TreePair {
  lower: string;
  upper: string;
  /**
   * An overlay's upper directory, when `upper` is that overlay and `lower` its lower layers: only what it names can
   * differ, so the rest is not looked at.
   */
  guide?: string;
}

/** A directory in each tree; `undefined` where there is none. */
interface Place {
  path: string;
  lower: number | undefined;
  upper: number;
  guide: number | undefined;
}

export const directoryFlags: number = OpenFlag.RdOnly | OpenFlag.Directory | OpenFlag.NoFollow;
const rootFlags = OpenFlag.RdOnly | OpenFlag.Directory;

/** Whether `mode` is a directory's. */
export function isDirectory(mode: number): boolean {
  return (mode & 0o170000) === 0o040000;
}

/**
 * Differences in order: a directory before what is in it, names as bytes. A change's `parent` descriptor is open only
 * until the next is asked for. `isCanceled` is polled in every directory. Neither tree's links are followed.
 */
export function* changesBetween(trees: TreePair, isCanceled: () => boolean = () => false): Generator<Change> {
  const fds: number[] = [];
  const open = (path: string): number => {
    const fd = openat(AT_FDCWD, path, rootFlags);
    fds.push(fd);
    return fd;
  };
  try {
    const guide = trees.guide === undefined ? undefined : open(trees.guide);
    yield* walk({ path: "", lower: open(trees.lower), upper: open(trees.upper), guide }, isCanceled);
  } finally {
    for (const fd of fds) close(fd);
  }
}

function* walk(place: Place, isCanceled: () => boolean): Generator<Change> {
  if (isCanceled()) throw canceled("compare trees");
  for (const name of namesToVisit(place)) {
    const lower = place.lower === undefined ? undefined : statusOf(place.lower, name);
    const upper = statusOf(place.upper, name);
    const path = joinPath(place.path, name);
    if (upper === undefined) {
      if (lower !== undefined) yield { kind: "delete", path };
      continue;
    }
    const same = lower !== undefined && isSame(place.lower as number, lower, place.upper, upper, name);
    const change = { path, status: upper, parent: place.upper, name };
    if (!same) yield { kind: "change", ...change };
    else if (upper.links > 1 && !isDirectory(upper.mode)) yield { kind: "unchanged", ...change };
    if (isDirectory(upper.mode)) yield* walkInto(place, name, path, lower, isCanceled);
  }
}

function* walkInto(
  place: Place,
  name: string,
  path: string,
  lower: FileStatus | undefined,
  isCanceled: () => boolean,
): Generator<Change> {
  const fds: number[] = [];
  const open = (parent: number | undefined): number | undefined => {
    const fd = parent === undefined ? undefined : openDirectory(parent, name);
    if (fd !== undefined) fds.push(fd);
    return fd;
  };
  try {
    const upper = open(place.upper);
    if (upper === undefined) return;
    const below = lower !== undefined && isDirectory(lower.mode) ? open(place.lower) : undefined;
    yield* walk({ path, lower: below, upper, guide: guideInto(place, open) }, isCanceled);
  } finally {
    for (const fd of fds) close(fd);
  }
}

/** A directory that hides or renames lower ones does not tell all that differs in it. */
function guideInto(place: Place, open: (fd: number | undefined) => number | undefined): number | undefined {
  const fd = open(place.guide);
  return fd === undefined || hidesLower(fd) ? undefined : fd;
}

function hidesLower(fd: number): boolean {
  const attributes = llistxattr(`/proc/self/fd/${fd}/.`);
  return attributes.some((name) => /^(trusted|user)\.overlay\.(opaque|redirect)$/.test(name));
}

function namesToVisit(place: Place): string[] {
  if (place.guide !== undefined) return namesIn(place.guide).sort();
  const names = new Set(namesIn(place.upper));
  if (place.lower !== undefined) for (const name of namesIn(place.lower)) names.add(name);
  return [...names].sort();
}

function statusOf(fd: number, name: string): FileStatus | undefined {
  try {
    return fstatat(fd, toPath(name), AtFlag.SymlinkNofollow);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** `undefined` when it is no longer a directory: the tree is in use. */
function openDirectory(fd: number, name: string): number | undefined {
  try {
    return openat(fd, toPath(name), directoryFlags);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
