import { parseArgs } from "node:util";
import { nearest } from "../config/check.ts";
import { logLevels } from "../config/daemon-table.ts";

/** The commands of `ctrd`. */
export const commands = ["serve", "config default", "config dump", "config check", "publish"] as const;
export type Command = (typeof commands)[number];

/** A command line, taken apart. */
export interface Arguments {
  readonly command: Command | "help" | "version";
  readonly config: string | undefined;
  readonly root: string | undefined;
  readonly state: string | undefined;
  readonly address: string | undefined;
  readonly logLevel: string | undefined;
  readonly topic: string | undefined;
  readonly namespace: string | undefined;
}

/** A mistake in the command line. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

const options = {
  config: { type: "string", short: "c" },
  root: { type: "string" },
  state: { type: "string" },
  address: { type: "string", short: "a" },
  "log-level": { type: "string", short: "l" },
  topic: { type: "string" },
  namespace: { type: "string" },
  version: { type: "boolean", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

export const usage: string = `ctrd: a container daemon

usage: ctrd [options] [command]

commands:
  serve            run the daemon (the default)
  config default   print the default configuration, with comments
  config dump      print the effective configuration
  config check     check the configuration
  publish          publish an event: --topic T --namespace N, the event (an Any) on standard input

options:
  -c, --config FILE      configuration file (/etc/ctrd/config.toml)
      --root DIR         directory for what must persist (/var/lib/ctrd)
      --state DIR        directory for what a reboot may remove (/run/ctrd)
  -a, --address SOCKET   gRPC socket (<state>/ctrd.sock)
  -l, --log-level LEVEL  ${logLevels.join(", ")}
  -v, --version          print the version
  -h, --help             print this
`;

/**
 * Takes a command line apart.
 *
 * @throws UsageError
 */
export function parseCommandLine(argv: readonly string[]): Arguments {
  const { values, positionals } = parse(argv);
  const level = values["log-level"];
  if (level !== undefined && !logLevels.some((known) => known === level)) {
    throw new UsageError(`log level "${level}" is not one of ${logLevels.join(", ")}`);
  }
  const command = values.help === true ? "help" : values.version === true ? "version" : commandOf(positionals);
  return {
    command,
    config: values.config,
    root: values.root,
    state: values.state,
    address: values.address,
    logLevel: level,
    topic: values.topic,
    namespace: values.namespace,
  };
}

function parse(argv: readonly string[]): ReturnType<typeof parseStrict> {
  try {
    return parseStrict(argv);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const [sentence] = error.message.split(". ");
    const unknown = /^Unknown option '--?([^']+)'/.exec(error.message)?.[1];
    const suggestion = unknown === undefined ? undefined : nearest(unknown, Object.keys(options));
    const hint = suggestion === undefined ? "" : `, did you mean "--${suggestion}"?`;
    throw new UsageError(`${sentence ?? error.message}${hint}`);
  }
}

function parseStrict(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
}

function commandOf(positionals: readonly string[]): Command | "help" {
  const text = positionals.join(" ");
  if (text === "") return "serve";
  if (text === "help") return "help";
  const command = commands.find((known) => known === text);
  if (command !== undefined) return command;
  const suggestion = nearest(text, commands);
  const hint = suggestion === undefined ? `known are: ${commands.join(", ")}` : `did you mean "${suggestion}"?`;
  throw new UsageError(`unknown command "${text}", ${hint}`);
}
