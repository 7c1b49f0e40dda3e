import { loadApp } from "../app/load-app.ts";
import {
  checkConfig,
  configInForce,
  configJsonSchema,
  defaultPaths,
  loadDocuments,
  migratedText,
  printConfig,
  printDefaultConfig,
  readConfigFile,
} from "../config/index.ts";
import type { KeyPath } from "../config/key-path.ts";
import { formatKeyPath, valueAt } from "../config/key-path.ts";
import { plainMessage } from "../plain-message.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition, overridesOf } from "./composition.ts";

/** Runs `ctrd config …`. Warnings go to standard error, so that the output stays TOML or JSON. */
export async function runConfig(command: Arguments["command"], options: Arguments): Promise<void> {
  switch (command) {
    case "config default":
      process.stdout.write(await printDefaultConfig((await loadApp(options.app)).plugins));
      return;
    case "config schema":
      process.stdout.write(`${JSON.stringify(configJsonSchema((await loadApp(options.app)).plugins), undefined, 2)}\n`);
      return;
    case "config migrate": {
      const file = options.operands[0] ?? options.config ?? defaultPaths.config;
      process.stdout.write(await migratedText(await readConfigFile(file)));
      return;
    }
    case "config dump":
      await dump(options);
      return;
    default:
      await check(options);
  }
}

/** Prints every value that is in force, and where it came from. */
async function dump(options: Arguments): Promise<void> {
  const { plugins, config } = await loadComposition(options);
  warn(config.warnings);
  const { table, sources } = await configInForce(config, plugins);
  if (!options.json) {
    process.stdout.write(printConfig(table, sources));
    return;
  }
  const entries = [...sources].map(([key, from]) => {
    const path = JSON.parse(key) as KeyPath;
    return [formatKeyPath(path), { value: valueAt(table, path), from }];
  });
  process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
}

/** Prints every mistake, one a line; the exit status is 1 when there is one. */
async function check(options: Arguments): Promise<void> {
  const unreadable: string[] = [];
  const [{ plugins }, documents] = await Promise.all([
    loadApp(options.app),
    loadDocuments(options.operands[0] ?? options.config, (error) => unreadable.push(plainMessage(error))),
  ]);
  const { problems, warnings, config } = await checkConfig(documents, plugins, overridesOf(options));
  warn(warnings);
  const all = [...unreadable, ...problems];
  const files = documents.documents.map(({ name }) => name).join(", ");
  for (const problem of all) process.stderr.write(`ctrd: ${problem}\n`);
  if (all.length > 0 || config === undefined) process.exitCode = 1;
  else process.stdout.write(`${files || "defaults"}: ok\n`);
}

function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`ctrd: warning: ${warning}\n`);
}
