/**
 * Mounts as flags describe them.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { Mount, Propagation } from "@ctrd/oci";
import { bindMount, tmpfsMount } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import { parseBytes } from "./quantities.ts";

const propagations: readonly Propagation[] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/** Reads `-v source:target[:options]`. A source that does not exist is made, as Docker does. */
export async function parseVolume(text: string): Promise<Mount> {
  const [source = "", target, options = "", ...more] = text.split(":");
  if (target === undefined || more.length > 0) {
    throw new CommandFailure(`-v needs <directory>:<path in the container>[:ro], got ${JSON.stringify(text)}`);
  }
  if (!/^[./~]/.test(source)) {
    throw new CommandFailure(`-v ${text}: named volumes are not there yet`, {
      remedy: `use a directory: ./${source || "data"}:${target}`,
    });
  }
  const words = options.split(",").filter((word) => word !== "" && word !== "rw");
  const propagation = propagations.find((known) => words.includes(known));
  const known = new Set<string>(["ro", "bind", "rbind", "z", "Z", "noexec", "nosuid", "nodev", ...propagations]);
  const unknown = words.find((word) => !known.has(word));
  if (unknown !== undefined) throw new CommandFailure(`-v ${text}: unknown option "${unknown}"`);
  const path = resolve(source.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~"));
  await makeSource(path);
  return bindMount(path, target, {
    readonly: words.includes("ro"),
    recursive: !words.includes("bind"),
    options: words.filter((word) => word.startsWith("no")),
    ...(propagation === undefined ? {} : { propagation }),
  });
}

async function makeSource(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    await mkdir(path, { recursive: true });
  }
}

/** Reads `--tmpfs path[:options]`. */
export function parseTmpfs(text: string): Mount {
  const [path = "", options = ""] = text.split(":");
  const words = options.split(",").filter((word) => word !== "");
  const size = words.find((word) => word.startsWith("size="))?.slice(5);
  const mode = words.find((word) => word.startsWith("mode="))?.slice(5);
  const flags = words.filter((word) => !word.includes("="));
  return tmpfsMount(path, {
    ...(size === undefined ? {} : { size: parseBytes("--tmpfs size", size) }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(flags.length === 0 ? {} : { options: flags }),
  });
}

/** Reads `--mount type=bind,source=…,target=…[,readonly]`. */
export async function parseMount(text: string): Promise<Mount> {
  const fields = new Map(
    text.split(",").map((part): [string, string] => {
      const equals = part.indexOf("=");
      return equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
    }),
  );
  const field = (...names: string[]): string | undefined =>
    names.map((name) => fields.get(name)).find((v) => v !== undefined);
  const target = field("target", "destination", "dst");
  if (target === undefined) throw new CommandFailure(`--mount ${text}: it has no target`);
  const type = field("type") ?? "bind";
  if (type === "tmpfs") {
    const size = field("tmpfs-size");
    return tmpfsMount(target, size === undefined ? {} : { size: parseBytes("--mount tmpfs-size", size) });
  }
  const source = field("source", "src");
  if (type !== "bind" || source === undefined) {
    throw new CommandFailure(`--mount ${text}: type is bind (with a source) or tmpfs; volumes are not there yet`);
  }
  return bindMount(resolve(source), target, { readonly: field("readonly", "ro") !== undefined });
}
