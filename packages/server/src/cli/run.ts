import { plainMessage } from "../plain-message.ts";
import type { Arguments } from "./arguments.ts";
import { parseCommandLine, usage, UsageError } from "./arguments.ts";
import { holdSignals } from "./early-signals.ts";

/** Runs the `ctrd` command line. Errors become one line on standard error and exit status 1. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  let debug = false;
  try {
    const options = parseCommandLine(argv);
    debug = options.logLevel === "debug" || options.logLevel === "trace";
    await run(options);
  } catch (error) {
    const hint = error instanceof UsageError ? " (see ctrd --help)" : "";
    process.stderr.write(`ctrd: ${plainMessage(error)}${hint}\n`);
    if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
    // Writing to standard error is synchronous; nothing that a failed start left behind may keep the process.
    process.exit(1);
  }
}

async function serve(options: Arguments): Promise<void> {
  // Before anything large is loaded.
  const early = holdSignals();
  await (await import("./serve.ts")).serve(options, early);
}

async function run(options: Arguments): Promise<void> {
  switch (options.command) {
    case "help":
      process.stdout.write(usage);
      return;
    case "version": {
      const { revision, version } = await import("../version.ts");
      process.stdout.write(`ctrd ${version}${revision === "" ? "" : ` ${revision}`}\n`);
      return;
    }
    case "serve":
      await serve(options);
      return;
    case "plugins ls":
    case "plugins graph":
    case "plugins inspect":
      await (await import("./plugins.ts")).runPlugins(options.command, options);
      return;
    case "build":
      await (await import("./build.ts")).build(options);
      return;
    case "publish":
      await (await import("./publish.ts")).publish(options);
      return;
    default:
      await (await import("./config.ts")).runConfig(options.command, options);
  }
}
