/**
 * Starts containers again as their restart labels say, and stops those that should not run.
 *
 * ```ts
 * const monitor = startRestartMonitor({ namespaces, containers, tasks, snapshotters, events }, { intervalMs: 10_000, log });
 * await monitor.stop();
 * ```
 *
 * @module
 */
export type { RestartMonitorOptions, RestartMonitorParts, RunningRestartMonitor } from "./monitor.ts";
export { startRestartMonitor } from "./monitor.ts";
