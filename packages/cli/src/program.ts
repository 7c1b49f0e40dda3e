/**
 * All commands, put together.
 *
 * @module
 */
import { Command, CommanderError } from "commander";
import { daemonCommands } from "./command-line.ts";
import { declareCompletion } from "./declare/completion.ts";
import { declareContainerCommands } from "./declare/containers.ts";
import { declareImageCommands } from "./declare/images.ts";
import { declareNetworkCommands } from "./declare/network.ts";
import { declareSystemCommands } from "./declare/system.ts";
import { declareVolumeCommands } from "./declare/volumes.ts";
import { reportFailure } from "./failure.ts";
import { addGlobalOptions } from "./globals.ts";
import { ownVersion } from "./version.ts";

/** Runs a command that is not the daemon's, and sets the exit code. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    process.exitCode =
      error instanceof CommanderError ? error.exitCode : reportFailure(error, program.opts()["debug"] === true);
  }
}

/** The program with all its commands; completion is made from it as well. */
export function createProgram(): Command {
  const program = new Command("ctrd")
    .description("containers: images, processes, logs, and the daemon")
    .version(`ctrd ${ownVersion()}`, "-v, --version", "print the version")
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "ctrd: ")) })
    .exitOverride();
  addGlobalOptions(program);
  declareContainerCommands(program);
  declareImageCommands(program);
  declareNetworkCommands(program);
  declareSystemCommands(program);
  declareVolumeCommands(program);
  declareCompletion(program);
  program.addHelpText("after", `\nOf the daemon's program: ${daemonCommands.join(", ")} (see ctrd serve --help)`);
  return program;
}
