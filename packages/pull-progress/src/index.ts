/**
 * Follows the pulls of a daemon: who pulls what, and how far it is.
 *
 * ```ts
 * const pulls = createPullTracker({ events, metrics: new PullMetrics() });
 * await pulls.follow(ctx, { reference, client: "mine", snapshotter: "" }, (progress) => pullImage(…, { progress }));
 * for await (const changed of pulls.watch(ctx, "")) show(changed);
 * ```
 *
 * @module
 */
export { PullMetrics } from "./metrics.ts";
export type { PullTrackerParts } from "./tracker.ts";
export { createPullTracker } from "./tracker.ts";
