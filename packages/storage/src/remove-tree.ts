import { lstatSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { AT_FDCWD, close, openat, OpenFlag, readMountInfo, removeTreeAt, unmount, UnmountFlag } from "@ctrd/sys";

/**
 * Removes a tree; symbolic links are not followed, a path that does not exist is fine. What is mounted inside is
 * detached first: else the files of another filesystem, perhaps the host's own, would be deleted through the mount.
 */
export function removeTree(path: string): void {
  for (const mountPoint of mountsInside(path)) unmount(mountPoint, UnmountFlag.Detach);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  const parent = openat(AT_FDCWD, dirname(path), OpenFlag.Path | OpenFlag.Directory);
  try {
    removeTreeAt(parent, basename(path));
  } finally {
    close(parent);
  }
}

/** Mount points at or below the directory `path`, the last one first. */
export function mountsInside(directory: string): string[] {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  const path = realpathSync(directory);
  return readMountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint === path || mountPoint.startsWith(`${path}/`))
    .toReversed();
}
