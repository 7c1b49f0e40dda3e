/** The command line of `@ctrd/cli`, against the daemon of a harness. */
import type { CommandOptions, CommandResult } from "./command.ts";
import { describe, run } from "./command.ts";
import type { Harness } from "./harness.ts";
import { repository } from "./peers.ts";

const [flags, main] =
  process.env["CTRD_TEST_FROM"] === "dist"
    ? [[], "dist/main.js"]
    : [["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"], "src/main.ts"];
const program = [`${repository}/node_modules/.bin/node`, ...flags, `${repository}/packages/cli/${main}`] as const;

export interface Cli {
  /** The program and its first arguments, and the environment that it needs. */
  readonly command: readonly string[];
  readonly env: Record<string, string>;
  /** Runs the command, whatever its exit code. */
  attempt(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** Runs the command and returns its output. @throws when it fails */
  ctrd(...args: string[]): Promise<string>;
  /** Runs a container in the background and lets the leak check know. */
  background(...args: string[]): Promise<string>;
}

/** @param settings variables in place of those that all tests have */
export function cliOf(h: Pick<Harness, "daemon" | "path">, settings: Readonly<Record<string, string>> = {}): Cli {
  const [node, ...first] = program;
  const env = {
    CTRD_ADDRESS: h.daemon.address,
    CTRD_NAMESPACE: h.daemon.namespace,
    CTRD_CLI_ROOT: h.path("cli"),
    // The usual network is a bridge of this machine.
    CTRD_NETWORK: "none",
    DOCKER_CONFIG: h.path("docker"),
    TMPDIR: h.daemon.tmp,
    ...settings,
  };
  const attempt: Cli["attempt"] = (args, options = {}) =>
    run(node, [...first, ...args], { ...options, env: { ...env, ...options.env } });
  const ctrd: Cli["ctrd"] = async (...args) => {
    const result = await attempt(args);
    if (result.code !== 0) throw new Error(describe(result));
    return result.stdout;
  };
  const background: Cli["background"] = async (...args) => {
    const id = (await ctrd("run", "-d", ...args)).trim();
    h.daemon.ids.add(id);
    return id;
  };
  return { command: program, env, attempt, ctrd, background };
}
