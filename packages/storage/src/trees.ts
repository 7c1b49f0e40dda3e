import { setImmediate } from "node:timers/promises";
import { canceled, errnoOf, failedPrecondition } from "@ctrd/core/errors";
import type { SnapshotUsage } from "@ctrd/core/snapshots";
import type { UsageLimit } from "./disk-usage.ts";
import { diskUsage } from "./disk-usage.ts";
import { mountsInside, removeTree } from "./remove-tree.ts";
import { TaskPool } from "./task-pool.ts";
import { sliceMs } from "./turns.ts";

/** Trees of up to so many entries are measured at once: it takes 1 to 3 ms, a new thread takes 50 and more. */
const fewEntries: UsageLimit = { entries: 512 };
/** Trees up to this are removed without a thread. The larger a file, the longer its removal takes. */
const littleToRemove: UsageLimit = { entries: 512, bytes: 16n << 20n };
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

  /** Removes a small tree, one slice of time a turn of the event loop; false, and nothing done, for a larger one. */
  #removeLittle(path: string): Promise<boolean> {
    const removal = this.#before.then(async () => {
      await setImmediate();
      if (!isLittle(path)) return false;
      while (!removeTree(path, performance.now() + sliceMs)) await setImmediate();
      return true;
    });
    this.#before = removal.catch(() => {
      // Its own caller gets its error.
    });
    return removal;
  }
}

/** Whether a tree is small. One with mounts inside is not looked into: they may hang. */
function isLittle(path: string): boolean {
  try {
    return mountsInside(path).length === 0 && diskUsage(path, littleToRemove) !== undefined;
  } catch (error) {
    // What is deeper than paths reach, say, is for a thread.
    return errnoOf(error) === "ENOENT";
  }
}
