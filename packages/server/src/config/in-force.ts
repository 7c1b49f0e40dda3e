import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import type { KeyPath, Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";
import { latestVersion } from "./migrate.ts";
import type { DaemonConfig } from "./resolve.ts";

/** A configuration with the defaults of every plugin, and where each value came from. */
export interface ConfigInForce {
  readonly table: Table;
  /** Descriptions by `JSON.stringify` of the paths of all values that are no tables. */
  readonly sources: ReadonlyMap<string, string>;
}

/**
 * The table in the newest layout, all files merged, with the defaults of the plugins. Tables of plugins that the daemon
 * does not have are left out.
 */
export async function configInForce(config: DaemonConfig, plugins: readonly LoadedPlugin[]): Promise<ConfigInForce> {
  const tables: Table = Object.create(null) as Table;
  for (const { registration } of plugins) {
    if (registration.config === undefined) continue;
    const uri = pluginUri(registration);
    const own = config.table.plugins[uri] ?? {};
    const result = await registration.config.standard["~standard"].validate(own);
    tables[uri] = result.issues === undefined ? withDefaults(own, result.value) : own;
  }
  const table: Table = { ...config.table, version: latestVersion, imports: [], plugins: tables };
  const sources = new Map<string, string>();
  for (const path of leaves(table, [])) sources.set(JSON.stringify(path), await config.sources.describe(path));
  sources.set('["version"]', "the layout of this output");
  sources.set('["imports"]', config.files.length === 0 ? "default" : `merged: ${config.files.join(", ")}`);
  return { table, sources };
}

/** What was written stays as it was written: a schema may make other values of it. */
function withDefaults(written: unknown, validated: unknown): unknown {
  if (written === undefined) return validated;
  if (!isTable(written) || !isTable(validated)) return written;
  const keys = new Set([...Object.keys(validated), ...Object.keys(written)]);
  return Object.fromEntries([...keys].map((key) => [key, withDefaults(written[key], validated[key])]));
}

function leaves(value: unknown, path: KeyPath): KeyPath[] {
  if (!isTable(value)) return value === undefined || value === null ? [] : [path];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}
