/**
 * An image of a container: `ctrd commit`.
 *
 * @module
 */
import { completeReference, shortReference } from "@ctrd/core/references";
import { findContainer } from "../containers/find.ts";
import { CommandFailure } from "../failure.ts";
import { toJson } from "../output/format.ts";
import type { Session } from "../session.ts";

/** Flags of `ctrd commit`. */
export interface CommitFlags {
  author?: string;
  message?: string;
  change?: string[];
  pause?: boolean;
  quiet?: boolean;
  json?: boolean;
}

type Config = Readonly<Record<string, unknown>>;

/** Runs `ctrd commit`. */
export async function commit(session: Session, name: string, reference: string, flags: CommitFlags): Promise<void> {
  const { author, message, change = [], pause = true } = flags;
  const changes = change.map(parseChange);
  const container = await findContainer(session, name);
  const image = await container.commit(completeReference(reference), {
    signal: session.signal,
    pause,
    configure: (config) => changes.reduce((changed, apply) => apply(changed), config),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { message }),
  });
  const { digest } = image.target;
  if (flags.json === true) process.stdout.write(`${toJson({ name: image.name, digest })}\n`);
  else process.stdout.write(flags.quiet === true ? `${digest}\n` : `${shortReference(image.name)}: ${digest}\n`);
}

/** Reads an instruction of a Dockerfile that changes how the image is run. */
export function parseChange(text: string): (config: Config) => Config {
  const [, word = "", value = ""] = /^\s*(\S+)\s+(.*\S)\s*$/s.exec(text) ?? [];
  switch (word.toUpperCase()) {
    case "CMD":
      return set("Cmd", commandOf(value));
    case "ENTRYPOINT":
      // What followed the old program is no arguments of the new one.
      return setAll({ Entrypoint: commandOf(value), Cmd: null });
    case "ENV":
      return setVariable(pairOf(text, value));
    case "LABEL":
      return add("Labels", [pairOf(text, value)]);
    case "USER":
      return set("User", value);
    case "WORKDIR":
      return set("WorkingDir", value);
    case "STOPSIGNAL":
      return set("StopSignal", value);
    case "EXPOSE":
      return add(
        "ExposedPorts",
        value.split(/\s+/).map((port) => [port.includes("/") ? port : `${port}/tcp`, {}]),
      );
    case "VOLUME":
      return add(
        "Volumes",
        listOf(value, value.split(/\s+/)).map((path) => [path, {}]),
      );
    default:
      throw new CommandFailure(`commit: cannot make the change ${JSON.stringify(text)}`, {
        remedy: "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR and a value",
      });
  }
}

function set(key: string, value: unknown): (config: Config) => Config {
  return setAll({ [key]: value });
}

function setAll(values: Config): (config: Config) => Config {
  return (config) => ({ ...config, ...values });
}

function add(key: string, entries: readonly (readonly [string, unknown])[]): (config: Config) => Config {
  const added = Object.fromEntries(entries);
  return (config) => ({ ...config, [key]: { ...(config[key] as object | null | undefined), ...added } });
}

function setVariable([name, value]: readonly [string, string]): (config: Config) => Config {
  return (config) => {
    const env: unknown[] = Array.isArray(config["Env"]) ? config["Env"] : [];
    const others = env.filter((entry) => typeof entry === "string" && !entry.startsWith(`${name}=`));
    return { ...config, Env: [...others, `${name}=${value}`] };
  };
}

/** A command: a JSON list, or what the shell runs. */
function commandOf(value: string): string[] {
  return listOf(value, ["/bin/sh", "-c", value]);
}

function listOf(value: string, otherwise: string[]): string[] {
  if (!value.startsWith("[")) return otherwise;
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  } catch (error) {
    throw new CommandFailure(`commit: ${value} is no JSON list`, {
      remedy: 'write ["program", "argument"]',
      cause: error,
    });
  }
  throw new CommandFailure(`commit: ${value} is no list of texts`);
}

/** `name=value` or `name value`; the value may be in quotes. */
function pairOf(text: string, value: string): [string, string] {
  const [, name = "", rest = ""] = /^([^\s=]+)(?:=|\s+)(.*)$/s.exec(value) ?? [];
  if (name === "") throw new CommandFailure(`commit: ${JSON.stringify(text)} needs name=value`);
  return [name, rest.replace(/^(["'])(.*)\1$/s, "$2")];
}
