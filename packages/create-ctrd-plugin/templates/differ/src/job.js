import { once } from "node:events";
import { rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { canceled, ContainerdError, deadlineExceeded, errnoOf, kindOf } from "@ctrd/core/errors";
import { UnmountFlag, unmountAll } from "@ctrd/sys";

/**
 * @import { Mount } from "@ctrd/core/records"
 * @import { Compression } from "@ctrd/archive"
 * @import { ErrorKind } from "@ctrd/core/errors"
 *
 * @typedef {{ kind: "apply", path: string, mounts: readonly Mount[], directory: string, syncFs: boolean,
 *   maxSize: number }} ApplyJob
 * @typedef {{ kind: "compare", lower: readonly Mount[], upper: readonly Mount[], directory: string,
 *   compression: Compression, latestTime: number }} CompareJob
 * @typedef {{ digest: string, size: number, path: string }} Result digest and size of the uncompressed layer
 * @typedef {{ ok: Result } | { error: { kind: ErrorKind, message: string } }} Answer
 */

/**
 * Runs a job in a thread of its own, which is gone when the promise settles.
 *
 * @param {ApplyJob | CompareJob} job
 * @param {AbortSignal} signal
 * @returns {Promise<Result>}
 */
export async function runJob(job, signal) {
  signal.throwIfAborted();
  const cancelled = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { job, cancelled } });
  const cancel = () => void Atomics.store(cancelled, 0, 1);
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const [[answer]] = /** @type {[[Answer], unknown]} */ (
      await Promise.all([once(worker, "message"), once(worker, "exit")])
    );
    if ("ok" in answer) return answer.ok;
    if (signal.aborted) throw abortError(`${job.kind} layer`, signal);
    throw new ContainerdError(answer.error.kind, answer.error.message);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/**
 * @param {string} what
 * @param {AbortSignal} signal
 */
function abortError(what, { reason }) {
  const factory = kindOf(reason) === "deadline-exceeded" ? deadlineExceeded : canceled;
  return factory(what, { cause: reason });
}

/**
 * Removes the directory of a job. Mount points are removed only as the empty directories that they are: what was
 * mounted there is somebody's snapshot.
 *
 * @param {string} directory
 */
export function cleanUp(directory) {
  for (const name of ["root", "lower", "upper"]) {
    const target = join(directory, name);
    unmountAll(target, UnmountFlag.Detach);
    try {
      rmdirSync(target);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  rmSync(join(directory, "layer"), { force: true });
  rmdirSync(directory);
}
