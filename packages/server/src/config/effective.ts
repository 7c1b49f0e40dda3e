/**
 * The configuration in force, with where each value came from.
 *
 * @module
 */
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import type { ConfigDocument } from "./document.ts";
import { originOf, placeOf } from "./document.ts";
import type { KeyPath, Table } from "./key-path.ts";
import { formatKeyPath, isTable, valueAt } from "./key-path.ts";
import type { DaemonConfig } from "./resolve.ts";
import { overridesTable } from "./resolve.ts";

/** One value of the configuration in force. */
export interface EffectiveValue {
  readonly path: KeyPath;
  readonly value: unknown;
  /** `default`, `command line`, or `file:line` with the key's old name where it was migrated. */
  readonly from: string;
}

/** The whole table: the daemon's keys, and every plugin's with its defaults filled in. */
export async function effectiveTable(config: DaemonConfig, plugins: readonly LoadedPlugin[]): Promise<Table> {
  const tables: Table = {};
  for (const { registration } of plugins) {
    if (registration.config === undefined) continue;
    const uri = pluginUri(registration);
    const result = await registration.config.standard["~standard"].validate(config.table.plugins[uri] ?? {});
    // It was checked before; what is given then is better than nothing.
    tables[uri] = result.issues === undefined ? result.value : config.table.plugins[uri];
  }
  return { ...config.table, plugins: tables };
}

/** Where the value at `path` of the configuration in force came from. */
export async function originOfValue(config: DaemonConfig, path: KeyPath): Promise<string> {
  if (valueAt(overridesTable(config.overrides), path) !== undefined) return "command line";
  const places: string[] = [];
  for (const document of config.documents) {
    if (valueAt(document.table, path) !== undefined) places.push(await describePlace(document, path));
  }
  const last = places.at(-1);
  if (last === undefined) return "default";
  // Lists are put together from all of them; of other values the last one counts.
  return Array.isArray(valueAt(config.table as unknown as Table, path)) ? [...new Set(places)].join(", ") : last;
}

async function describePlace(document: ConfigDocument, path: KeyPath): Promise<string> {
  const place = (await placeOf(document, path)).replace(/:\d+$/, "");
  const old = originOf(document, path);
  return formatKeyPath(old) === formatKeyPath(path) ? place : `${place} (${formatKeyPath(old)})`;
}

/** Every value with its path; tables are gone into, lists are values. */
export async function effectiveValues(
  config: DaemonConfig,
  plugins: readonly LoadedPlugin[],
): Promise<EffectiveValue[]> {
  const values: EffectiveValue[] = [];
  const visit = async (path: KeyPath, value: unknown): Promise<void> => {
    if (value === undefined) return;
    if (isTable(value)) {
      for (const [key, inner] of Object.entries(value)) await visit([...path, key], inner);
    } else {
      values.push({ path, value, from: await originOfValue(config, path) });
    }
  };
  await visit([], await effectiveTable(config, plugins));
  return values;
}
