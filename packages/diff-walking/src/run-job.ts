/**
 * The work itself. Runs in workers.
 *
 * @module
 */
import { closeSync, openSync } from "node:fs";
import type { AppliedLayer, ChunkSink, WrittenDiff } from "@ctrd/archive";
import { applyLayer, writeDiff } from "@ctrd/archive";
import { syncfs } from "@ctrd/sys";
import type { ApplyJob, CompareJob } from "./jobs.ts";
import { withMounts, withTree } from "./trees.ts";

/** How a job talks while it runs. */
export interface JobChannel {
  isCanceled(): boolean;
  warn(message: string): void;
  progress(size: number): void;
  /** Takes a chunk of compare's result. */
  chunk: ChunkSink;
}

export async function runApply(job: ApplyJob, channel: JobChannel): Promise<AppliedLayer> {
  const { path, target, limits } = job;
  const common = { path, limits, ...callbacksOf(channel) };
  const apply = async (options: { root: string; overlay?: boolean; lowers?: string[] }): Promise<AppliedLayer> => {
    const applied = await applyLayer({ ...common, ...options });
    if (job.syncFs) flush(options.root);
    return applied;
  };
  if (target.kind === "mounts") return withMounts(target.mounts, job.temporary, (root) => apply({ root }));
  return apply({ root: target.root, overlay: target.overlay, lowers: target.lowers });
}

export async function runCompare(job: CompareJob, channel: JobChannel): Promise<WrittenDiff> {
  const { plan, temporary, compression } = job;
  return withTree(plan.lower, temporary, (lower) =>
    withTree(plan.upper, temporary, (upper) => {
      const trees = plan.guide === undefined ? { lower, upper } : { lower, upper, guide: plan.guide };
      const latest = job.latestTime === undefined ? {} : { latestTime: job.latestTime };
      return writeDiff({ ...trees, ...latest, compression, isCanceled: () => channel.isCanceled() }, channel.chunk);
    }),
  );
}

function callbacksOf(channel: JobChannel): Omit<JobChannel, "chunk"> {
  return {
    isCanceled: () => channel.isCanceled(),
    warn: (message) => channel.warn(message),
    progress: (size) => channel.progress(size),
  };
}

function flush(root: string): void {
  const fd = openSync(root, "r");
  try {
    syncfs(fd);
  } finally {
    closeSync(fd);
  }
}
