/**
 * Decides when garbage is collected: after deletions and writes, but never so often that collecting takes more than a
 * set share of the time, and at once when a call asks for it.
 *
 * ```ts
 * const scheduler = startGcScheduler(metadata, { ...defaultGcSchedule, deletionThreshold: 10 });
 * await scheduler.scheduleAndWait(ctx);
 * await scheduler.stop();
 * ```
 *
 * @module
 */
export type { GcSchedule, RunningGcScheduler } from "./scheduler.ts";
export { defaultGcSchedule, startGcScheduler } from "./scheduler.ts";
