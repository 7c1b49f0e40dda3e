/**
 * How lists come out: a table, JSON lines, or a line of one's own.
 *
 * @module
 */
import type { Command } from "commander";
import { CommandFailure } from "../failure.ts";

/** Flags of commands that print. */
export interface OutputFlags {
  json?: boolean;
  format?: string;
  quiet?: boolean;
}

/** A column of a table. Templates and JSON know it by `name`. */
export interface Column<T> {
  readonly name: string;
  /** Heading; columns without one are only in JSON and templates. */
  readonly title?: string;
  /** What JSON shows. */
  value(row: T): unknown;
  /** What tables and templates show; by default the value. */
  text?(row: T): string;
}

/** Adds `--json` and `--format` to a command. */
export function addOutputFlags(command: Command, quiet?: string): Command {
  command
    .option("--json", "print JSON, one object a line")
    .option("--format <text>", "table, json, or fields such as '{{.ID}} {{.Name}}'");
  return quiet === undefined ? command : command.option("-q, --quiet", quiet);
}

/**
 * Rows as text, each line ended.
 *
 * @param key the column that `--quiet` prints
 */
export function formatRows<T>(rows: readonly T[], columns: readonly Column<T>[], flags: OutputFlags, key = 0): string {
  const lines = linesOf(rows, columns, flags, key);
  return lines.map((line) => `${line}\n`).join("");
}

function linesOf<T>(rows: readonly T[], columns: readonly Column<T>[], flags: OutputFlags, key: number): string[] {
  const { format = "table", json = false, quiet = false } = flags;
  const keyColumn = columns[key];
  if (quiet && keyColumn !== undefined) return rows.map((row) => textOf(keyColumn, row));
  if (json || format === "json") return rows.map((row) => toJson(objectOf(row, columns)));
  if (format !== "table") {
    const fill = compileTemplate(format, columns);
    return rows.map(fill);
  }
  const shown = columns.filter(({ title }) => title !== undefined);
  const cells = rows.map((row) => shown.map((column) => textOf(column, row)));
  return alignTable([shown.map(({ title = "" }) => title), ...cells]);
}

/** Columns of equal width, the last one as it is. */
export function alignTable(rows: readonly (readonly string[])[]): string[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("   ")
      .trimEnd(),
  );
}

function objectOf<T>(row: T, columns: readonly Column<T>[]): Record<string, unknown> {
  return Object.fromEntries(columns.map((column) => [column.name, column.value(row)]));
}

function textOf<T>(column: Column<T>, row: T): string {
  return column.text?.(row) ?? plainText(column.value(row));
}

function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? toJson(value) : String(value as number | bigint | boolean);
}

/** Reads a template of fields; `\t` and `\n` are what they are in Go's. */
function compileTemplate<T>(template: string, columns: readonly Column<T>[]): (row: T) => string {
  const text = template.replaceAll(String.raw`\t`, "\t").replaceAll(String.raw`\n`, "\n");
  const parts: ((row: T) => string)[] = [];
  const pattern = /\{\{([^}]*)\}\}/g;
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    const before = text.slice(at, match.index);
    parts.push(() => before, fieldOf((match[1] ?? "").trim(), columns));
    at = match.index + match[0].length;
  }
  const rest = text.slice(at);
  if (rest.includes("{{")) throw new CommandFailure(`--format: "{{" without "}}" in ${JSON.stringify(template)}`);
  return (row) => parts.map((part) => part(row)).join("") + rest;
}

function fieldOf<T>(expression: string, columns: readonly Column<T>[]): (row: T) => string {
  if (expression === "json .") return (row) => toJson(objectOf(row, columns));
  const name = /^\.(\w+)$/.exec(expression)?.[1];
  const column = columns.find((known) => known.name.toLowerCase() === name?.toLowerCase());
  if (column !== undefined) return (row) => textOf(column, row);
  const fields = columns.map((known) => `.${known.name}`).join(" ");
  throw new CommandFailure(`--format: unknown field "${expression}"`, {
    remedy: `fields are: ${fields} (and "json .")`,
  });
}

/** One line of JSON; numbers of any size, maps as objects, bytes as base64. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, replacer, indent);
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return value;
}
