/**
 * Taking over a changed configuration while the daemon runs.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "@ctrd/core/log";
import type { LoadedPlugin, PluginReload, PluginSet } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { plainConfig } from "@ctrd/services";
import type { DaemonTable } from "./config/daemon-table.ts";
import type { DaemonConfig } from "./config/index.ts";
import type { KeyPath, Table } from "./config/key-path.ts";
import { formatKeyPath, isTable } from "./config/key-path.ts";
import type { LogSettings } from "./log.ts";

/** What a reload did, as key paths. */
export interface ReloadReport {
  /** Keys whose new values are in force. */
  readonly applied: readonly string[];
  /** Keys that take effect only when the daemon starts again. */
  readonly needRestart: readonly string[];
  /** Why plugins could not take new values that they can take in general. */
  readonly errors: readonly string[];
}

/** What {@link reloadDaemon} works on. */
export interface Reloading {
  /** In force. */
  readonly current: DaemonConfig;
  readonly next: DaemonConfig;
  readonly plugins: readonly LoadedPlugin[];
  readonly set: PluginSet;
  /** Changes what is logged; undefined when the log is not the daemon's own. */
  readonly setLog: ((settings: LogSettings) => void) | undefined;
  readonly log: Logger;
}

/** Keys of the daemon's own table that are read only at the start. `plugins` is compared by the plugins. */
const fixedKeys = [
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

/** Applies what of `next` can change now, and logs a line for each key that differs. */
export async function reloadDaemon(reloading: Reloading): Promise<ReloadReport> {
  const run = new ReloadRun(reloading.log);
  reloadLog(reloading, run);
  for (const key of fixedKeys) compareFixed([key], reloading.current.table[key], reloading.next.table[key], run);
  const before = configsOf(reloading.set);
  const reports = await reloading.set.reload(new Map(Object.entries(reloading.next.table.plugins)));
  const after = configsOf(reloading.set);
  for (const report of reports) {
    const wanted = await wantedConfig(report.plugin, reloading);
    run.add(report, tableOf(before.get(report.plugin)), tableOf(after.get(report.plugin)), wanted);
  }
  compareIdle(reloading, run);
  return run;
}

class ReloadRun implements ReloadReport {
  readonly applied: string[] = [];
  readonly needRestart: string[] = [];
  readonly errors: string[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  change(path: KeyPath, old: unknown, value: unknown): void {
    const key = formatKeyPath(path);
    this.applied.push(key);
    this.#log.info({ key, ...shown(path, old, value) }, "configuration key changed");
  }

  postpone(path: KeyPath, old: unknown, value: unknown): void {
    const key = formatKeyPath(path);
    this.needRestart.push(key);
    this.#log.warn({ key, ...shown(path, old, value) }, "configuration key needs a restart to change");
  }

  /** What happened to a plugin, with its configuration before, now, and as it was wanted. */
  add({ plugin, applied, needRestart, error }: PluginReload, before: Table, after: Table, wanted: Table): void {
    for (const key of applied) this.change(["plugins", plugin, key], before[key], after[key]);
    for (const key of needRestart) this.postpone(["plugins", plugin, key], after[key], wanted[key]);
    if (error === undefined) return;
    this.errors.push(`${plugin}: ${error}`);
    this.#log.error({ plugin, error }, "configuration of a plugin not changed");
  }
}

function reloadLog({ current, next, setLog }: Reloading, run: ReloadRun): void {
  if (setLog === undefined) return;
  const [old, wanted] = [current.table.debug, next.table.debug];
  setLog(wanted);
  for (const key of ["level", "format"] as const) {
    if (old[key] !== wanted[key]) run.change(["debug", key], old[key], wanted[key]);
  }
}

/** Tables are compared entry by entry, so that a line names what differs. */
function compareFixed(path: KeyPath, old: unknown, wanted: unknown, run: ReloadRun): void {
  if (isDeepStrictEqual(plainConfig(old), plainConfig(wanted))) return;
  if (!isTable(old) || !isTable(wanted)) {
    run.postpone(path, old, wanted);
    return;
  }
  for (const key of new Set([...Object.keys(old), ...Object.keys(wanted)])) {
    compareFixed([...path, key], old[key], wanted[key], run);
  }
}

/** Plugins that do not run: a new table may be what they need, at the next start. */
function compareIdle({ current, next, set }: Reloading, run: ReloadRun): void {
  for (const { type, id, state } of set.statuses) {
    const uri = `${type}.${id}`;
    if (state === "ok") continue;
    compareFixed(["plugins", uri], current.table.plugins[uri] ?? {}, next.table.plugins[uri] ?? {}, run);
  }
}

function configsOf(set: PluginSet): Map<string, unknown> {
  return new Map(set.statuses.map(({ type, id, config }) => [`${type}.${id}`, config]));
}

/** The configuration that a plugin would have after a restart. */
async function wantedConfig(uri: string, { next, plugins }: Reloading): Promise<Table> {
  const registration = plugins.find((plugin) => pluginUri(plugin.registration) === uri)?.registration;
  const result = await registration?.config?.standard["~standard"].validate(next.table.plugins[uri] ?? {});
  return result === undefined || result.issues !== undefined ? {} : tableOf(result.value);
}

function tableOf(config: unknown): Table {
  return isTable(config) ? config : {};
}

/** Values for the log, without secrets. */
function shown(path: KeyPath, old: unknown, value: unknown): { old: unknown; new: unknown } {
  const key = String(path.at(-1));
  const hide = (one: unknown): unknown => (plainConfig({ [key]: one }) as Table)[key];
  return { old: hide(old), new: hide(value) };
}
