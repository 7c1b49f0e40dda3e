import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { daemonTable } from "./daemon-table.ts";
import type { KeyPath, Table } from "./key-path.ts";
import { formatKey, formatKeyPath, isTable } from "./key-path.ts";

/** The default configuration as TOML, with the descriptions of its keys as comments. */
export async function printDefaultConfig(plugins: readonly LoadedPlugin[]): Promise<string> {
  const lines: string[] = ["# Configuration of ctrd. Every value here is the default."];
  const schema = daemonTable.jsonSchema();
  const { plugins: _tables, ...defaults } = (await defaultsOf(daemonTable.standard)) as Table;
  printTable(lines, [], defaults, schema);
  for (const { registration } of plugins) {
    if (registration.config === undefined) continue;
    const table = await defaultsOf(registration.config.standard);
    printTable(lines, ["plugins", pluginUri(registration)], table, registration.config.jsonSchema());
  }
  return `${lines.join("\n")}\n`;
}

/**
 * A configuration as TOML.
 *
 * @param origins where values came from, for comments at the ends of lines: by `JSON.stringify` of the path
 */
export function printConfig(table: object, origins: ReadonlyMap<string, string> = new Map()): string {
  return `${printTables(table, origins).join("\n")}\n`;
}

/** The lines of {@link printConfig}. */
export function printTables(table: object, origins: ReadonlyMap<string, string> = new Map()): string[] {
  const lines: string[] = [];
  printTable(lines, [], table as Table, {}, origins);
  return lines;
}

type StandardSchema =
  | (typeof daemonTable)["standard"]
  | NonNullable<LoadedPlugin["registration"]["config"]>["standard"];

async function defaultsOf(schema: StandardSchema): Promise<Table> {
  const result = await schema["~standard"].validate({});
  if (result.issues !== undefined) throw new Error(`schema without defaults: ${result.issues[0]?.message ?? ""}`);
  return result.value as Table;
}

/** Prints a table's plain values, then its sub-tables. */
function printTable(
  lines: string[],
  path: KeyPath,
  table: Table,
  schema: Table,
  origins: ReadonlyMap<string, string> = new Map(),
): void {
  const properties = isTable(schema["properties"]) ? schema["properties"] : {};
  const entries = Object.entries(table).filter(([, value]) => value !== undefined && value !== null);
  const plain = entries.filter(([, value]) => !isTable(value));
  const tables = entries.filter(([, value]) => isTable(value));
  // A table of tables needs no header of its own.
  if (path.length > 0 && (plain.length > 0 || tables.length === 0)) {
    lines.push("");
    comment(lines, schema);
    lines.push(`[${formatKeyPath(path)}]`);
  }
  for (const [key, value] of plain) {
    comment(lines, properties[key]);
    const origin = origins.get(JSON.stringify([...path, key]));
    lines.push(`${formatKey(key)} = ${printValue(value)}${origin === undefined ? "" : ` # ${origin}`}`);
  }
  for (const [key, property] of Object.entries(properties)) {
    if (Object.hasOwn(table, key) || !isTable(property)) continue;
    comment(lines, property);
    lines.push(`# ${formatKey(key)} =`);
  }
  for (const [key, value] of tables) {
    const property = properties[key];
    printTable(lines, [...path, key], value as Table, isTable(property) ? property : {}, origins);
  }
}

function comment(lines: string[], schema: unknown): void {
  const description = isTable(schema) ? schema["description"] : undefined;
  if (typeof description !== "string") return;
  for (const line of description.split("\n")) lines.push(`# ${line}`);
}

/** A value as TOML writes it. */
export function printValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printValue).join(", ")}]`;
  if (isTable(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
    return `{ ${entries.map(([key, item]) => `${formatKey(key)} = ${printValue(item)}`).join(", ")} }`;
  }
  if (typeof value === "string") return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  return String(value);
}
