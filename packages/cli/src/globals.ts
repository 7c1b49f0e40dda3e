/**
 * What every command can be told: where the daemon is, and in which namespace to work.
 *
 * @module
 */
import type { Command } from "commander";
import { Option } from "commander";

/** Options that every command has. */
export interface Globals {
  readonly address: string;
  readonly namespace: string;
  /** Print whole errors. */
  readonly debug: boolean;
}

const defaultAddress = "/run/ctrd/ctrd.sock";
const defaultNamespace = "default";

/** Adds the options to the program itself. */
export function addGlobalOptions(program: Command): void {
  program
    .option("-a, --address <socket>", `socket of the daemon (CTRD_ADDRESS, CONTAINERD_ADDRESS, ${defaultAddress})`)
    .option("-n, --namespace <name>", `namespace (CTRD_NAMESPACE, CONTAINERD_NAMESPACE, ${defaultNamespace})`)
    .option("--debug", "print the whole of an error");
}

/** Declares a command. The options of the program may also follow it. */
export function declare(parent: Command, signature: string, description: string, hidden = false): Command {
  return parent
    .command(signature, { hidden })
    .description(description)
    .addOption(new Option("--address <socket>").hideHelp())
    .addOption(new Option("--namespace <name>").hideHelp())
    .addOption(new Option("--debug").hideHelp());
}

/** The options as they were given, or from the environment. */
export function globalsOf(command: Command): Globals {
  const given = command.optsWithGlobals<{ address?: string; namespace?: string; debug?: boolean }>();
  const env = (name: string): string | undefined => process.env[`CTRD_${name}`] || process.env[`CONTAINERD_${name}`];
  return {
    address: given.address ?? env("ADDRESS") ?? defaultAddress,
    namespace: given.namespace ?? env("NAMESPACE") ?? defaultNamespace,
    debug: given.debug ?? false,
  };
}
