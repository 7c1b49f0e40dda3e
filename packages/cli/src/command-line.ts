/**
 * Which command line a call belongs to: the daemon's own commands are `@ctrd/server`'s, all others are here.
 *
 * @module
 */

import { setFlagsFromString } from "node:v8";

/** Commands that are about a daemon's program and files, and need no running one. */
export const daemonCommands: readonly string[] = ["serve", "config", "plugins", "build", "publish"];

/** Options in front of the command that take a value, here or in the daemon's command line. */
const optionsWithValue: ReadonlySet<string> = new Set([
  "--app",
  "--config",
  "-c",
  "--root",
  "--state",
  "--address",
  "-a",
  "--namespace",
  "-n",
  "--log-level",
  "-l",
  "--topic",
  "--output",
  "-o",
]);

/** Runs `ctrd`. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough, as head.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-v")) {
    // Without the declarations of all commands.
    process.stdout.write(`ctrd ${(await import("./version.ts")).ownVersion()}\n`);
    return;
  }
  if (isForDaemon(argv)) {
    await (await import("@ctrd/server/command-line")).runCommandLine(argv);
    return;
  }
  // Content that goes through this process is garbage of V8's by the megabyte: marking in small steps would take half
  // of the processor's time.
  setFlagsFromString("--no-incremental-marking");
  await (await import("./program.ts")).runProgram(argv);
}

/** Whether `argv` is a command of the daemon's; like its own `ctrd`, a line without a command serves. */
export function isForDaemon(argv: readonly string[]): boolean {
  let help = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (!word.startsWith("-")) return daemonCommands.includes(word);
    if (["--help", "-h", "--version", "-v"].includes(word)) help = true;
    if (optionsWithValue.has(word)) at++;
  }
  return !help;
}
