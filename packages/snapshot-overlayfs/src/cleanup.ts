/**
 * Removing the directories of snapshots that are gone.
 */
import { readdirSync, rmSync } from "node:fs";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { TreePool } from "@ctrd/storage";
import { readMountInfo, unmount } from "@ctrd/sys";
import type { Layout } from "./layout.ts";

/** `MNT_DETACH`: out of sight at once, really unmounted when the last user is gone. */
const detach = 2;

/** Directories below `snapshots` that no id in `ids` owns: removed snapshots, and what a crash left. */
export function orphans(layout: Layout, ids: ReadonlySet<string>): string[] {
  return readdirSync(layout.snapshots)
    .filter((name) => !ids.has(name.replace(/^new-/, "")))
    .map((name) => `${layout.snapshots}/${name}`);
}

/** Removes the few empty directories of a snapshot that could not be created. A failure is logged. */
export function discardSnapshot(layout: Layout, id: string, log: Logger): void {
  for (const path of [layout.unfinished(id), layout.snapshot(id)]) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, "cannot remove directory of a snapshot that was not created");
    }
  }
}

/** Removes a directory tree in a worker thread. A failure is logged: the next cleanup tries again. */
export async function removeDirectory(trees: TreePool, path: string, log: Logger): Promise<void> {
  try {
    await removeUnmounted(trees, path);
  } catch (error) {
    log.warn({ path, error: messageOf(error) }, "cannot remove snapshot directory");
  }
}

async function removeUnmounted(trees: TreePool, path: string): Promise<void> {
  try {
    await trees.remove(path);
  } catch (error) {
    if (errnoOf(error) !== "EBUSY") throw error;
    const inside = readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${path}/`));
    for (const { mountPoint } of inside.reverse()) unmount(mountPoint, detach);
    await trees.remove(path);
  }
}
