import { lstatSync, readdirSync, realpathSync, rmdirSync, unlinkSync } from "node:fs";
import { errnoOf } from "@ctrd/core/errors";
import { readMountInfo, unmount, UnmountFlag } from "@ctrd/sys";

const slash = Buffer.from("/");

/**
 * Removes a tree; symbolic links are not followed, a path that does not exist is fine. What is mounted inside is
 * detached first: else the files of another filesystem, perhaps the host's own, would be deleted through the mount.
 *
 * Node's own `rmSync` loses the errno of some failures and goes into mounts.
 */
export function removeTree(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) {
    for (const mountPoint of mountsInside(realpathSync(path))) unmount(mountPoint, UnmountFlag.Detach);
  }
  if (stat.isDirectory()) removeDirectory(Buffer.from(path));
  else ignoreMissing(() => unlinkSync(path));
}

/** Mount points at or below `path`, the last one first. */
function mountsInside(path: string): string[] {
  return readMountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint === path || mountPoint.startsWith(`${path}/`))
    .toReversed();
}

function removeDirectory(path: Buffer): void {
  for (const entry of readdirSync(path, { encoding: "buffer", withFileTypes: true })) {
    const child = Buffer.concat([path, slash, entry.name]);
    if (entry.isDirectory()) removeDirectory(child);
    else ignoreMissing(() => unlinkSync(child));
  }
  ignoreMissing(() => rmdirSync(path));
}

function ignoreMissing(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
