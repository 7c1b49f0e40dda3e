/**
 * Removing the directories of snapshots that are gone.
 */
import { readdirSync, rmSync } from "node:fs";
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { TreePool } from "@ctrd/storage";
import type { Layout } from "./layout.ts";

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

/** Removes a directory tree in a worker thread, and detaches what is mounted inside. A failure is logged: the next cleanup tries again. */
export async function removeDirectory(trees: TreePool, path: string, log: Logger): Promise<void> {
  try {
    await trees.remove(path);
  } catch (error) {
    log.warn({ path, error: messageOf(error) }, "cannot remove snapshot directory");
  }
}
