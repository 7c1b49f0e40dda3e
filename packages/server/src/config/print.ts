import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { daemonTable } from "./daemon-table.ts";
import type { KeyPath, Table } from "./key-path.ts";
import { formatKey, formatKeyPath, isTable } from "./key-path.ts";

const head = `# Configuration of ctrd. Every value here is the default.
#
# For completion and checks in an editor: run "ctrd config schema > ctrd.schema.json" beside this file and make
# "#:schema ./ctrd.schema.json" its first line.`;

/** The default configuration as TOML, with the descriptions of its keys as comments. */
export async function printDefaultConfig(plugins: readonly LoadedPlugin[]): Promise<string> {
  const lines: string[] = [head];
  const { plugins: _tables, ...defaults } = (await defaultsOf(daemonTable.standard)) as Table;
  printTable(lines, [], defaults, { schema: daemonTable.jsonSchema() });
  for (const { registration } of plugins) {
    if (registration.config === undefined) continue;
    const table = await defaultsOf(registration.config.standard);
    printTable(lines, ["plugins", pluginUri(registration)], table, { schema: registration.config.jsonSchema() });
  }
  return `${lines.join("\n")}\n`;
}

/**
 * A configuration as TOML.
 *
 * @param remarks put behind values, by `JSON.stringify` of their paths
 */
export function printConfig(table: object, remarks: ReadonlyMap<string, string> = new Map()): string {
  const lines: string[] = [];
  printTable(lines, [], table as Table, { remarks });
  return `${lines.join("\n")}\n`;
}

/** A value as TOML writes it on one line. */
export function printValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printValue).join(", ")}]`;
  if (isTable(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
    if (entries.length === 0) return "{}";
    return `{ ${entries.map(([key, item]) => `${formatKey(key)} = ${printValue(item)}`).join(", ")} }`;
  }
  if (typeof value === "string") return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "number" && !Number.isFinite(value))
    return String(value).replace("Infinity", "inf").toLowerCase();
  return String(value);
}

type StandardSchema =
  | (typeof daemonTable)["standard"]
  | NonNullable<LoadedPlugin["registration"]["config"]>["standard"];

async function defaultsOf(schema: StandardSchema): Promise<Table> {
  const result = await schema["~standard"].validate({});
  if (result.issues !== undefined) throw new Error(`schema without defaults: ${result.issues[0]?.message ?? ""}`);
  return result.value as Table;
}

/** What is printed beside the values. */
interface Notes {
  /** JSON Schema whose descriptions become comments above them. */
  readonly schema?: Table;
  /** Comments behind them. */
  readonly remarks?: ReadonlyMap<string, string>;
}

/** Prints a table's plain values, then its sub-tables. */
function printTable(lines: string[], path: KeyPath, table: Table, notes: Notes): void {
  const properties = isTable(notes.schema?.["properties"]) ? notes.schema["properties"] : {};
  const entries = Object.entries(table).filter(([, value]) => value !== undefined && value !== null);
  const plain = entries.filter(([, value]) => !isTable(value));
  const tables = entries.filter(([, value]) => isTable(value));
  // A table of tables needs no header of its own.
  if (path.length > 0 && (plain.length > 0 || tables.length === 0)) {
    lines.push("");
    comment(lines, notes.schema);
    lines.push(`[${formatKeyPath(path)}]`);
  }
  for (const [key, value] of plain) {
    comment(lines, properties[key]);
    const remark = notes.remarks?.get(JSON.stringify([...path, key]));
    lines.push(`${formatKey(key)} = ${printValue(value)}${remark === undefined ? "" : ` # ${remark}`}`);
  }
  for (const [key, property] of Object.entries(properties)) {
    if (Object.hasOwn(table, key) || !isTable(property)) continue;
    comment(lines, property);
    lines.push(`# ${formatKey(key)} =`);
  }
  for (const [key, value] of tables) {
    const property = properties[key];
    printTable(lines, [...path, key], value as Table, { ...notes, schema: isTable(property) ? property : {} });
  }
}

function comment(lines: string[], schema: unknown): void {
  const description = isTable(schema) ? schema["description"] : undefined;
  if (typeof description !== "string") return;
  for (const line of description.split("\n")) lines.push(`# ${line}`);
}
