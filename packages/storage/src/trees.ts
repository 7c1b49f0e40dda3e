import { canceled, failedPrecondition } from "@ctrd/core/errors";
import type { SnapshotUsage } from "@ctrd/core/snapshots";
import { diskUsage } from "./disk-usage.ts";
import { removeLittleTree } from "./remove-little-tree.ts";
import { mountsInside } from "./remove-tree.ts";
import { TaskPool } from "./task-pool.ts";

/** Trees of up to so many entries are measured at once: it takes 1 to 3 ms, a new thread takes 50 and more. */
const fewEntries = 512;
/** Trees of more entries than this are removed by threads of their own. */
const fewToRemove = 512;
/** While more trees than this are being removed, threads remove the next ones. */
const fewRemovals = 16;

/** Work on directory trees, done in worker threads unless it is next to nothing. */
export class TreePool {
  readonly #pool = new TaskPool(
    new URL(import.meta.url.endsWith(".ts") ? "./tree-worker.ts" : "./tree-worker.js", import.meta.url),
  );
  #closed = false;
  #removals = 0;
  /** The removal before, of those without a thread: they take turns. */
  #before: Promise<unknown> = Promise.resolve();

  /**
   * Allocated bytes and inodes of a tree, the directory itself included; a file with several names counts once.
   *
   * @throws an error with the errno name as `code`; `canceled`
   */
  async diskUsage(directory: string, signal?: AbortSignal): Promise<SnapshotUsage> {
    if (signal?.aborted === true) throw canceled(`measure ${directory}`, { cause: signal.reason });
    const usage = diskUsage(directory, fewEntries) ?? (await this.#pool.run("diskUsage", directory, signal));
    return usage as SnapshotUsage;
  }

  /**
   * Removes a tree; symbolic links are not followed, mounts inside are detached first. A path that does not exist is
   * fine.
   *
   * @throws as `diskUsage`
   */
  async remove(path: string, signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw failedPrecondition(`remove ${path}: the workers are closed`);
    this.#removals++;
    try {
      if (this.#removals > fewRemovals || !(await this.#removeLittle(path))) {
        await this.#pool.run("removeTree", path, signal);
      }
    } finally {
      this.#removals--;
    }
  }

  /** Ends the threads; work in progress is rejected. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#pool.close();
  }

  /** Removes a small tree, one after the other; false for a larger one. What is mounted inside is for a thread. */
  #removeLittle(path: string): Promise<boolean> {
    const removal = this.#before.then(async () => {
      if (mountsInside(path).length > 0) return false;
      return await removeLittleTree(path, fewToRemove);
    });
    this.#before = removal.catch(() => {
      // Its own caller gets its error.
    });
    return removal;
  }
}
