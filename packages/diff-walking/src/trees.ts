/**
 * Temporary mounts, always taken down again. Runs in workers.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Mount } from "@ctrd/core/records";
import { hasErrno, mountAll, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { TreeSource } from "./mount-plan.ts";

/** Names of temporary directories begin with these. */
const mountPrefix = "mount-";
export const blobPrefix = "blob-";

/** Runs `use` with `mounts` performed in a new directory in `temporary`. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  temporary: string,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(join(temporary, mountPrefix));
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

/** Removes what a daemon that was killed left in `temporary`: mounts, and copies of blobs. */
export function cleanTemporary(temporary: string): void {
  for (const name of readdirSync(temporary)) {
    const path = join(temporary, name);
    if (name.startsWith(blobPrefix)) rmSync(path, { recursive: true });
    if (!name.startsWith(mountPrefix)) continue;
    takeDown(path);
    // Never recursive: were it still mounted, that would empty what is mounted there.
    rmdirSync(path);
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
