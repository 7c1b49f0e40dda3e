import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { errnoOf, failedPrecondition } from "@ctrd/core/errors";
import { loadApp } from "../app/load-app.ts";
import {
  configJsonSchema,
  defaultPaths,
  effectiveTable,
  effectiveValues,
  findProblems,
  loadDocuments,
  parseDocument,
  printConfig,
  printDefaultConfig,
  printMigrated,
  resolveConfig,
} from "../config/index.ts";
import { formatProblem } from "../config/document.ts";
import { formatKeyPath } from "../config/key-path.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition } from "./composition.ts";

/** Runs `ctrd config …`. Warnings go to standard error, so that the output stays what it is. */
export async function runConfig(command: Arguments["command"], options: Arguments): Promise<void> {
  switch (command) {
    case "config default":
      return print(await printDefaultConfig((await loadApp(options.app)).plugins));
    case "config schema":
      return print(`${JSON.stringify(configJsonSchema((await loadApp(options.app)).plugins), null, 2)}\n`);
    case "config migrate":
      return migrate(options);
    case "config dump":
      return dump(options);
    default:
      return check(options);
  }
}

/** All mistakes, one a line. */
async function check(options: Arguments): Promise<void> {
  const [given] = options.operands;
  const [{ plugins }, documents] = await Promise.all([loadApp(options.app), readGiven(given ?? options.config)]);
  const { problems } = await findProblems(documents, plugins);
  if (problems.length > 0) {
    for (const problem of problems) process.stderr.write(`ctrd: ${await formatProblem(problem)}\n`);
    process.exitCode = 1;
    return;
  }
  const config = await resolveConfig(documents, plugins);
  warn(config.warnings);
  print(`${config.files.join(", ") || "defaults"}: ok\n`);
}

async function dump(options: Arguments): Promise<void> {
  const { plugins, config } = await loadComposition(options);
  warn(config.warnings);
  const values = await effectiveValues(config, plugins);
  if (options.json) {
    const entries = values.map(({ path, value, from }) => [formatKeyPath(path), { value, from }]);
    print(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return;
  }
  const origins = new Map(values.map(({ path, from }) => [JSON.stringify(path), from]));
  print(printConfig(await effectiveTable(config, plugins), origins));
}

async function migrate(options: Arguments): Promise<void> {
  const file = options.operands[0] ?? options.config ?? defaultPaths.config;
  const { document, version, dropped } = await parseDocument(nameOf(file), await readText(file));
  print(await printMigrated(document, version, dropped));
}

/** Reads a file, the default one, or (`-`) standard input with what it imports. */
async function readGiven(file: string | undefined): ReturnType<typeof loadDocuments> {
  return file === "-" ? loadDocuments(nameOf(file), await readText(file)) : loadDocuments(file);
}

async function readText(file: string): Promise<string> {
  if (file === "-") {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  }
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw failedPrecondition(`read configuration ${file}: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
}

function nameOf(file: string): string {
  return file === "-" ? "<stdin>" : resolve(file);
}

function print(text: string): void {
  process.stdout.write(text);
}

function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`ctrd: warning: ${warning}\n`);
}
