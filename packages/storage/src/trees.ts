import { canceled } from "@ctrd/core/errors";
import type { SnapshotUsage } from "@ctrd/core/snapshots";
import { diskUsage } from "./disk-usage.ts";
import { TaskPool } from "./task-pool.ts";

/** Trees of up to so many inodes are measured at once: it takes a fraction of a millisecond, a new thread takes 50. */
const fewInodes = 64;

/** Work on directory trees, done in worker threads unless it is next to nothing. */
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
    if (signal?.aborted === true) throw canceled(`measure ${directory}`, { cause: signal.reason });
    const usage = diskUsage(directory, fewInodes) ?? (await this.#pool.run("diskUsage", directory, signal));
    return usage as SnapshotUsage;
  }

  /**
   * Removes a tree; symbolic links are not followed, mounts inside are detached first. A path that does not exist is
   * fine.
   *
   * @throws as `diskUsage`
   */
  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await this.#pool.run("removeTree", path, signal);
  }

  /** Ends the threads; work in progress is rejected. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}
