/**
 * Taking over a changed configuration while the daemon runs.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { PluginReload, PluginSet } from "@ctrd/core/plugin";
import { isDeepStrictEqual } from "node:util";
import type { DaemonConfig } from "./config/index.ts";
import type { DaemonTable } from "./config/daemon-table.ts";
import type { LogSettings } from "./log.ts";

/** What a reload did. Keys of the daemon's own table have no plugin. */
export interface ReloadReport {
  readonly applied: readonly string[];
  readonly needRestart: readonly string[];
  readonly errors: readonly string[];
}

/** Everything else of the daemon's own table needs a restart; `plugins` is compared by the plugins. */
const compared = [
  "root",
  "state",
  "temp",
  "disabled_plugins",
  "required_plugins",
  "oom_score",
  "cgroup",
  "timeouts",
  "stream_processors",
  "proxy_plugins",
] as const satisfies readonly (keyof DaemonTable)[];

/** Applies what of `next` can change now, and logs a line for each key. */
export async function reloadDaemon(
  current: DaemonConfig,
  next: DaemonConfig,
  set: PluginSet,
  setLog: (settings: LogSettings) => void,
  log: Logger,
): Promise<ReloadReport> {
  const applied: string[] = [];
  const needRestart: string[] = compared.filter((key) => !isDeepStrictEqual(current.table[key], next.table[key]));
  const errors: string[] = [];
  const { debug } = current.table;
  for (const key of ["level", "format"] as const) {
    if (debug[key] === next.table.debug[key]) continue;
    applied.push(`debug.${key}`);
    log.info({ key: `debug.${key}`, old: debug[key], new: next.table.debug[key] }, "configuration key changed");
  }
  setLog(next.table.debug);
  const before = new Map(set.statuses.map(({ type, id, config }) => [`${type}.${id}`, config]));
  for (const report of await set.reload(new Map(Object.entries(next.table.plugins)))) {
    logReload(report, before.get(report.plugin), next, log);
    applied.push(...report.applied.map((key) => keyOf(report.plugin, key)));
    needRestart.push(...report.needRestart.map((key) => keyOf(report.plugin, key)));
    if (report.error !== undefined) errors.push(`${report.plugin}: ${report.error}`);
  }
  for (const key of needRestart) log.warn({ key }, "configuration key needs a restart to change");
  return { applied, needRestart, errors };
}

function logReload(report: PluginReload, before: unknown, next: DaemonConfig, log: Logger): void {
  const { plugin, applied, error } = report;
  const table = next.table.plugins[plugin] ?? {};
  for (const key of applied) {
    const old = (before as Record<string, unknown> | undefined)?.[key];
    log.info({ key: keyOf(plugin, key), old, new: table[key] ?? "default" }, "configuration key changed");
  }
  if (error !== undefined) log.error({ plugin, error }, "configuration of a plugin not changed");
}

function keyOf(plugin: string, key: string): string {
  return `plugins."${plugin}".${key}`;
}
