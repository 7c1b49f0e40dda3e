import type { SnapshotUsage } from "@ctrd/core/snapshots";
import { TaskPool } from "./task-pool.ts";

/** Work on directory trees, done in worker threads. */
export class TreePool {
  readonly #pool = new TaskPool(
    new URL(import.meta.url.endsWith(".ts") ? "./tree-worker.ts" : "./tree-worker.js", import.meta.url),
  );

  /**
   * Allocated bytes and inodes of a tree, the directory itself included; a file with several names counts once.
   *
   * @throws an error with the errno name as `code`; `canceled`
   */
  async diskUsage(directory: string, signal?: AbortSignal): Promise<SnapshotUsage> {
    return (await this.#pool.run("diskUsage", directory, signal)) as SnapshotUsage;
  }

  /** Removes a tree; symbolic links are not followed. A path that does not exist is fine. @throws as `diskUsage` */
  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await this.#pool.run("remove", path, signal);
  }

  /** Ends the threads; work in progress is rejected. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}
