/**
 * Removing trees beneath a directory descriptor without following links.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { close, hasErrno, openat, OpenFlag, removeTreeAt } from "@ctrd/sys";
import { toPath } from "../byte-string.ts";
import { joinPath } from "./paths.ts";

const directoryFlags = OpenFlag.RdOnly | OpenFlag.Directory | OpenFlag.NoFollow;

/** Names in an open directory, as byte strings. The descriptor may be `O_PATH`. */
export function namesIn(fd: number): string[] {
  return readdirSync(`/proc/self/fd/${fd}`, "latin1");
}

/** Removes everything in the directory `fd`, which is at `path`, but what is in `kept` (with its ancestors). */
export function removeAllBut(fd: number, path: string, kept: ReadonlySet<string>): void {
  for (const name of namesIn(fd)) {
    const child = joinPath(path, name);
    if (!kept.has(child)) {
      removeTreeAt(fd, toPath(name));
      continue;
    }
    const inner = openDirectory(fd, name);
    if (inner === undefined) continue;
    try {
      removeAllBut(inner, child, kept);
    } finally {
      close(inner);
    }
  }
}

function openDirectory(fd: number, name: string): number | undefined {
  try {
    return openat(fd, toPath(name), directoryFlags);
  } catch (error) {
    if (hasErrno(error, "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
