/**
 * What is sent between the differ and its workers. Everything is plain data.
 *
 * @module
 */
import type { AppliedLayer, Compression, LayerLimits, WrittenDiff } from "@ctrd/archive";
import type { ErrorKind } from "@ctrd/core/errors";
import type { ApplyTarget, ComparePlan } from "./mount-plan.ts";

/** Apply a layer. */
export interface ApplyJob {
  kind: "apply";
  /** File with the layer. */
  path: string;
  target: ApplyTarget;
  /** Directory for temporary mounts. */
  temporary: string;
  /** Flush the file system at the end. */
  syncFs: boolean;
  limits: LayerLimits;
}

/** Compare two trees; the result comes in chunks. */
export interface CompareJob {
  kind: "compare";
  plan: ComparePlan;
  temporary: string;
  compression: Compression;
  /** Seconds since the epoch that no time exceeds; absent = no limit. */
  latestTime?: number;
}

export type Job = ApplyJob | CompareJob;
/** Result of a job by its kind. */
export interface JobResults {
  apply: AppliedLayer;
  compare: WrittenDiff;
}

/** From the differ: a job with a flag that turns 1 when it is canceled, the receipt of a chunk, or to end. */
export type ToWorker = { type: "job"; job: Job; canceled: Int32Array } | { type: "received" } | { type: "stop" };

/** From the worker. A job ends with `done` or `failed`. */
export type FromWorker =
  | { type: "chunk"; data: Uint8Array }
  | { type: "warning"; message: string }
  | { type: "progress"; size: number }
  | { type: "done"; result: JobResults[keyof JobResults] }
  | { type: "failed"; kind: ErrorKind; message: string };
