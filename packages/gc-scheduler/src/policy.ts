/** Counted for a collection that was faster, in milliseconds: otherwise quick ones would follow each other closely. */
const leastPauseMs = 5;
/** Interval before anything was measured, in milliseconds. */
const firstIntervalMs = 1000;
/** Most of the time that collecting may take. */
const largestThreshold = 0.5;

/**
 * Time between collections, in milliseconds, such that pauses take at most the share `pauseThreshold` of it.
 *
 * @param pauseSumMs pauses of all collections so far
 */
export function collectionInterval(pauseThreshold: number, pauseSumMs: number, collections: number): number {
  const threshold = Math.min(pauseThreshold, largestThreshold);
  if (collections === 0 || threshold <= 0) return firstIntervalMs;
  const average = Math.max(pauseSumMs / collections, leastPauseMs);
  return average / threshold - average;
}

/** Whether a scheduled point collects: something was deleted, or enough was written. */
export function isDue(mutationThreshold: number, mutations: number, deletions: number): boolean {
  return deletions > 0 || (mutationThreshold > 0 && mutations >= mutationThreshold);
}
