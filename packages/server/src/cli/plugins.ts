import type { Platform } from "@ctrd/core/records";
import { printConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./arguments.ts";
import { findPlugin, uriOf } from "./find-plugin.ts";
import { printGraph, requirementsOfView } from "./plugin-graph.ts";
import type { PluginView } from "./plugin-views.ts";
import { loadViews } from "./plugin-views.ts";

/** Runs `ctrd plugins …`. Remarks go to standard error, so that the output stays what it is. */
export async function runPlugins(command: Arguments["command"], options: Arguments): Promise<void> {
  const [word] = options.operands;
  if (command === "plugins inspect" && word === undefined) {
    throw new UsageError("plugins inspect needs the <type>.<id> or the id of a plugin");
  }
  const views = await loadViews(options, (text) => process.stderr.write(`ctrd: ${text}\n`));
  process.stdout.write(output(command, options, views, word ?? ""));
}

function output(command: Arguments["command"], options: Arguments, views: readonly PluginView[], word: string): string {
  if (command === "plugins graph") return printGraph(views);
  if (command === "plugins ls") return options.json ? toJson(views.map(jsonOf)) : printTable(views);
  const view = findPlugin(views, word);
  return options.json ? toJson(jsonOf(view)) : printPlugin(view);
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function jsonOf({ meta, ...view }: PluginView): unknown {
  const exports = Object.fromEntries(meta.exports);
  return { ...view, platforms: meta.platforms.map(platformName), capabilities: meta.capabilities, exports };
}

/** One line a plugin; below those that are not in use, why and what to do. */
export function printTable(views: readonly PluginView[]): string {
  const header = ["TYPE", "ID", "PACKAGE", "VERSION", "STATE"];
  const rows = views.map(({ type, id, source, state }) => [
    type,
    id,
    source?.name ?? "-",
    source?.version ?? "-",
    state,
  ]);
  const widths = header.map((title, column) =>
    Math.max(...[header, ...rows].map((row) => (row[column] ?? title).length)),
  );
  const line = (row: readonly string[]): string =>
    `${row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()}\n`;
  const problem = ({ error, remedy }: PluginView): string =>
    (error === undefined ? "" : `    why: ${error}\n`) + (remedy === undefined ? "" : `    do:  ${remedy}\n`);
  return line(header) + views.map((view, index) => line(rows[index] ?? []) + problem(view)).join("");
}

/** All that is known of a plugin. */
export function printPlugin(view: PluginView): string {
  const { source, state, error, remedy, meta, config } = view;
  const facts: [string, string | undefined][] = [
    ["package", source?.name],
    ["version", source?.version],
    ["directory", source?.directory],
    ["state", state],
    ["why", error],
    ["do", remedy],
    ["platforms", meta.platforms.map(platformName).join(", ")],
    ["capabilities", meta.capabilities.join(", ")],
  ];
  const lines = [uriOf(view)];
  for (const [name, value] of facts) if (value) lines.push(`  ${`${name}:`.padEnd(14)}${value}`);
  addList(
    lines,
    "requires",
    requirementsOfView(view).map(
      ({ type, id, optional }) => `${id === undefined ? type : `${type}.${id}`}${optional ? " (optional)" : ""}`,
    ),
  );
  addList(
    lines,
    "exports",
    [...meta.exports].map(([key, value]) => `${key} = ${value}`),
  );
  if (typeof config === "object" && config !== null) {
    addList(
      lines,
      "config",
      printConfig({ plugins: { [uriOf(view)]: config } })
        .trim()
        .split("\n"),
    );
  }
  return `${lines.join("\n")}\n`;
}

function addList(lines: string[], name: string, items: readonly string[]): void {
  if (items.length > 0) lines.push(`  ${name}:`, ...items.map((item) => `    ${item}`.trimEnd()));
}

function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== "").join("/");
}
