/** Worker module: fills one volume. */
import { workerData } from "node:worker_threads";
import type { CopyUpTask } from "./copy-up.ts";
import { fillVolume } from "./copy-up.ts";

const { cancelled, ...copy } = workerData as CopyUpTask;

fillVolume(copy, () => {
  if (Atomics.load(cancelled, 0) !== 0) throw new Error(`filling ${copy.data} was cancelled`);
});
