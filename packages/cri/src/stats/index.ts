/**
 * Statistics and metrics of containers and pods.
 *
 * ```ts
 * const collector = new StatsCollector(sources, { cgroup2, retentionMs: 120_000 });
 * const [stats] = await collector.containerStats(ctx, [container]);
 * ```
 *
 * @module
 */
export { StatsCollector } from "./collector.ts";
export type { StatsContainer, StatsPod } from "./sources.ts";
