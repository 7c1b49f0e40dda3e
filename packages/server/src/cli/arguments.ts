import { parseArgs } from "node:util";
import { nearest } from "../config/check.ts";
import { logLevels } from "../config/daemon-table.ts";

/** A command of `ctrd`. */
export type Command =
  | "serve"
  | "plugins ls"
  | "plugins graph"
  | "plugins inspect"
  | "config default"
  | "config dump"
  | "config check"
  | "config schema"
  | "config migrate"
  | "build"
  | "publish";

/** Names of what may follow each command. */
const commandOperands: Readonly<Record<Command, readonly string[]>> = {
  serve: [],
  "plugins ls": [],
  "plugins graph": [],
  "plugins inspect": ["PLUGIN"],
  "config default": [],
  "config dump": [],
  "config check": ["FILE"],
  "config schema": [],
  "config migrate": ["FILE"],
  build: [],
  publish: [],
};
const commands = Object.keys(commandOperands) as Command[];

/** A command line, taken apart. */
export interface Arguments {
  readonly command: Command | "help" | "version";
  /** What follows the command. */
  readonly operands: readonly string[];
  /** Folder whose dependencies are the daemon's plugins. */
  readonly app: string | undefined;
  readonly config: string | undefined;
  readonly root: string | undefined;
  readonly state: string | undefined;
  readonly address: string | undefined;
  readonly logLevel: string | undefined;
  readonly topic: string | undefined;
  readonly namespace: string | undefined;
  /** File to write. */
  readonly output: string | undefined;
  /** Print JSON. */
  readonly json: boolean;
}

/** A mistake in the command line. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

const options = {
  app: { type: "string" },
  config: { type: "string", short: "c" },
  root: { type: "string" },
  state: { type: "string" },
  address: { type: "string", short: "a" },
  "log-level": { type: "string", short: "l" },
  topic: { type: "string" },
  namespace: { type: "string" },
  output: { type: "string", short: "o" },
  json: { type: "boolean" },
  version: { type: "boolean", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

export const usage: string = `ctrd: a container daemon

usage: ctrd [options] [command]

commands:
  serve            run the daemon (the default)
  plugins ls       list the plugins and what became of them
  plugins graph    print which plugin requires which, as Graphviz DOT
  plugins inspect  print all that is known of one plugin
  config default   print the default configuration, with comments
  config dump      print the effective configuration, and where each value came from
  config check     check the configuration, or the given file; - is standard input
  config schema    print the JSON Schema of the configuration
  config migrate   print the configuration, or the given file, in the newest layout
  build            make one executable of an app folder: --app DIR --output FILE
  publish          publish an event: --topic T --namespace N, the event (an Any) on standard input

options:
      --app DIR          folder with the package.json whose dependencies are the plugins (the current one)
  -c, --config FILE      configuration file (/etc/ctrd/config.toml)
      --root DIR         directory for what must persist (/var/lib/ctrd)
      --state DIR        directory for what a reboot may remove (/run/ctrd)
  -a, --address SOCKET   gRPC socket (<state>/ctrd.sock)
  -l, --log-level LEVEL  ${logLevels.join(", ")}
  -o, --output FILE      file to write
      --json             print JSON
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
  const { command, operands } =
    values.help === true
      ? { command: "help" as const, operands: [] }
      : values.version === true
        ? { command: "version" as const, operands: [] }
        : commandOf(positionals);
  return {
    command,
    operands,
    app: values.app,
    config: values.config,
    root: values.root,
    state: values.state,
    address: values.address,
    logLevel: level,
    topic: values.topic,
    namespace: values.namespace,
    output: values.output,
    json: values.json ?? false,
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

function commandOf(positionals: readonly string[]): { command: Command | "help"; operands: readonly string[] } {
  const [first = "serve", second = ""] = positionals;
  if (first === "help") return { command: "help", operands: [] };
  const command = commands.find((known) => known === first || known === `${first} ${second}`);
  if (command === undefined) throw unknownCommand(positionals.slice(0, 2).join(" "));
  const operands = positionals.slice(command.split(" ").length);
  const names = commandOperands[command];
  if (operands.length <= names.length) return { command, operands };
  const takes = names.length === 0 ? "nothing" : names.join(" ");
  throw new UsageError(`${command} takes ${takes} and got "${operands.join(" ")}"`);
}

/** Commands of `@ctrd/cli`, which has all of ours as well. */
const clientCommands = new Set(
  (
    "pull push images tag rmi save load login logout run create start stop kill rm ps exec attach logs inspect top " +
    "stats pause unpause wait cp rename events info version namespace ns content snapshots leases system completion"
  ).split(" "),
);

function unknownCommand(text: string): UsageError {
  const [first = ""] = text.split(" ");
  if (clientCommands.has(first)) {
    return new UsageError(`"${first}" is a command of @ctrd/cli: npm install @ctrd/cli`);
  }
  const suggestion = nearest(text, commands);
  const hint = suggestion === undefined ? `known are: ${commands.join(", ")}` : `did you mean "${suggestion}"?`;
  return new UsageError(`unknown command "${text}", ${hint}`);
}
