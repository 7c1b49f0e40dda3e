import { loadApp } from "../app/load-app.ts";
import { printConfig, printDefaultConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition } from "./composition.ts";

/** Runs `ctrd config …`. Warnings go to standard error, so that the output stays TOML. */
export async function runConfig(command: Arguments["command"], options: Arguments): Promise<void> {
  if (command === "config default") {
    process.stdout.write(await printDefaultConfig((await loadApp(options.app)).plugins));
    return;
  }
  const { config } = await loadComposition(options);
  for (const warning of config.warnings) process.stderr.write(`ctrd: warning: ${warning}\n`);
  if (command === "config dump") {
    process.stdout.write(printConfig(config.table));
    return;
  }
  process.stdout.write(`${config.files.join(", ") || "defaults"}: ok\n`);
}
