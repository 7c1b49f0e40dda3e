/**
 * Temporary mounts, always taken down again. Runs in workers.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Mount } from "@ctrd/core/records";
import { hasErrno, mountAll, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { TreeSource } from "./mount-plan.ts";

/** Runs `use` with `mounts` performed in a new directory in `temporary`. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  temporary: string,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(join(temporary, "mount-"));
  try {
    mountAll(mounts, directory);
    try {
      return await use(directory);
    } finally {
      takeDown(directory);
    }
  } finally {
    rmdirSync(directory);
  }
}

/** Runs `use` with the directory in which the tree is to be read. */
export async function withTree<T>(
  source: TreeSource,
  temporary: string,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  if (source.kind === "directory") return use(source.path);
  return withMounts(source.kind === "empty" ? [] : source.mounts, temporary, use);
}

/** Removes what a daemon that was killed left in `temporary`. */
export function cleanTemporary(temporary: string): void {
  for (const name of namesIn(temporary)) {
    takeDown(join(temporary, name));
    rmdirSync(join(temporary, name));
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.startsWith("mount-"));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Someone who looks at the mount just then must not keep it: detached, it goes when they are done. */
function takeDown(directory: string): void {
  try {
    unmountAll(directory);
  } catch (error) {
    if (!hasErrno(error, "EBUSY")) throw error;
    unmountAll(directory, UnmountFlag.Detach);
  }
}
