/**
 * The thread of one job: mounts, walks, answers. The caller unmounts, also when the thread could not go on.
 */
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { applyLayer, writeDiff } from "@ctrd/archive";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { mountAll, syncfs } from "@ctrd/sys";

/**
 * @import { Mount } from "@ctrd/core/records"
 * @import { Answer, ApplyJob, CompareJob, Result } from "./job.js"
 */

const { job, cancelled } = /** @type {{ job: ApplyJob | CompareJob, cancelled: Int32Array }} */ (workerData);
const isCanceled = () => Atomics.load(cancelled, 0) !== 0;

/**
 * @param {ApplyJob} job
 * @returns {Promise<Result>}
 */
async function apply({ path, mounts, directory, syncFs, maxSize }) {
  const root = mounted(mounts, join(directory, "root"));
  const { digest, size } = await applyLayer({ path, root, isCanceled, limits: { maxSize } });
  if (syncFs) await withFile(root, "r", syncfs);
  return { digest, size, path };
}

/**
 * @param {CompareJob} job
 * @returns {Promise<Result>}
 */
async function compare({ lower, upper, directory, compression, latestTime }) {
  const trees = { lower: mounted(lower, join(directory, "lower")), upper: mounted(upper, join(directory, "upper")) };
  const path = join(directory, "layer");
  return withFile(path, "wx", async (file) => {
    const { diffId, diffSize } = await writeDiff({ ...trees, compression, latestTime, isCanceled }, (chunk) => {
      for (let written = 0; written < chunk.length;) written += writeSync(file, chunk, written);
    });
    return { digest: diffId, size: diffSize, path };
  });
}

/**
 * @param {readonly Mount[]} mounts none: an empty tree, below a base layer
 * @param {string} target
 */
function mounted(mounts, target) {
  mkdirSync(target);
  mountAll(mounts, target);
  return target;
}

/**
 * @template T
 * @param {string} path
 * @param {string} flags
 * @param {(fd: number) => T | Promise<T>} use
 */
async function withFile(path, flags, use) {
  const fd = openSync(path, flags, 0o600);
  try {
    return await use(fd);
  } finally {
    closeSync(fd);
  }
}

/** @type {Answer} */
let answer;
try {
  answer = { ok: await (job.kind === "apply" ? apply(job) : compare(job)) };
} catch (error) {
  answer = { error: { kind: kindOf(error), message: messageOf(error) } };
}
parentPort?.postMessage(answer);
