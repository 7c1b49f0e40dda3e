/**
 * Mounts as flags describe them: `-v`, `--mount`, `--tmpfs`. Nothing is made here but what a directory is bound to.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { posix, resolve } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { Mount, Propagation } from "@ctrd/oci";
import { bindMount, tmpfsMount } from "@ctrd/oci";
import { parseBytes } from "../containers/quantities.ts";
import { CommandFailure } from "../failure.ts";
import { checkVolumeName } from "./store.ts";

/** A volume that a container wants; without a name one of its own is made. */
export interface VolumeRequest {
  readonly volume: string | undefined;
  readonly destination: string;
  readonly readonly: boolean;
  /** Take what the image has at the destination, when the volume is empty. */
  readonly copy: boolean;
  /** Further mount options. */
  readonly options: readonly string[];
}

/** A mount that is complete, or a volume. */
export type MountRequest = Mount | VolumeRequest;

/** Whether a request is for a volume. */
export function isVolume(request: MountRequest): request is VolumeRequest {
  return "volume" in request;
}

/** Flags that mount. */
export interface MountFlags {
  volume?: string[];
  mount?: string[];
  tmpfs?: string[];
}

/** Reads all flags that mount. @throws CommandFailure also for two mounts in one place */
export async function parseMounts({ volume = [], mount = [], tmpfs = [] }: MountFlags): Promise<MountRequest[]> {
  const requests: MountRequest[] = [];
  for (const text of volume) requests.push(await parseVolume(text));
  for (const text of mount) requests.push(parseMount(text));
  for (const text of tmpfs) requests.push(parseTmpfs(text));
  const taken = new Set<string>();
  for (const { destination } of requests) {
    if (taken.has(destination)) throw new CommandFailure(`-v, --mount, --tmpfs: ${destination} is mounted twice`);
    taken.add(destination);
  }
  return requests;
}

/** A path in the container without `.`, `..` and a slash at its end. */
export function cleanDestination(flag: string, path: string): string {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new CommandFailure(`${flag}: ${JSON.stringify(path)} is no absolute path in the container`);
  }
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, "");
  if (clean === "/") throw new CommandFailure(`${flag}: nothing can be mounted on / in the container`);
  return clean;
}

const propagations: readonly Propagation[] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
const volumeWords: readonly string[] = ["ro", "bind", "rbind", "z", "Z", "nocopy", "noexec", "nosuid", "nodev"];

/** Reads `-v [source:]target[:options]`. A directory that does not exist is made, as Docker does. */
async function parseVolume(text: string): Promise<MountRequest> {
  const parts = text.split(":");
  const [source, target, options = "", ...more] = parts.length === 1 ? [undefined, text] : parts;
  if (target === undefined || source === "" || more.length > 0) {
    throw new CommandFailure(
      `-v needs [<directory or volume>:]<path in the container>[:ro], got ${JSON.stringify(text)}`,
    );
  }
  const destination = cleanDestination(`-v ${text}`, target);
  const words = options.split(",").filter((word) => word !== "" && word !== "rw");
  const unknown = words.find((word) => !volumeWords.includes(word) && !propagations.some((known) => known === word));
  if (unknown !== undefined) throw new CommandFailure(`-v ${text}: unknown option "${unknown}"`);
  const readonly = words.includes("ro");
  const flags = words.filter((word) => ["noexec", "nosuid", "nodev"].includes(word));
  if (source === undefined || !/^[./~]/.test(source)) {
    if (source !== undefined) checkVolumeName(`-v ${text}`, source);
    return { volume: source, destination, readonly, copy: !words.includes("nocopy"), options: flags };
  }
  const propagation = propagations.find((known) => words.includes(known));
  const path = resolve(source.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~"));
  await makeSource(path);
  return bindMount(path, destination, {
    readonly,
    recursive: !words.includes("bind"),
    options: flags,
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
function parseTmpfs(text: string): Mount {
  const [path = "", options = ""] = text.split(":");
  const words = options.split(",").filter((word) => word !== "" && word !== "rw");
  const size = words.find((word) => word.startsWith("size="))?.slice(5);
  const mode = words.find((word) => word.startsWith("mode="))?.slice(5);
  const flags = words.filter((word) => !word.startsWith("size=") && !word.startsWith("mode="));
  return tmpfsMount(cleanDestination(`--tmpfs ${text}`, path), {
    ...(size === undefined ? {} : { size: parseBytes("--tmpfs size", size) }),
    ...(mode === undefined ? {} : { mode: parseMode("--tmpfs mode", mode) }),
    ...(flags.length === 0 ? {} : { options: flags }),
  });
}

function parseMode(flag: string, text: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw new CommandFailure(`${flag} needs an octal number such as 1777, got "${text}"`);
  return Number.parseInt(text, 8);
}

/** Fields of `--mount` by the names that people use for them. */
const fieldNames: Readonly<Record<string, string>> = {
  type: "type",
  source: "source",
  src: "source",
  target: "target",
  destination: "target",
  dst: "target",
  readonly: "readonly",
  ro: "readonly",
  "bind-propagation": "propagation",
  "volume-nocopy": "nocopy",
  "tmpfs-size": "size",
  "tmpfs-mode": "mode",
};

/** Which fields a type takes beside `type` and `target`. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  bind: ["source", "readonly", "propagation"],
  volume: ["source", "readonly", "nocopy"],
  tmpfs: ["size", "mode", "readonly"],
};

/** Reads `--mount type=bind|volume|tmpfs,source=…,target=…[,readonly]…`. */
function parseMount(text: string): MountRequest {
  const flag = `--mount ${text}`;
  const fields = new Map<string, string>();
  for (const part of text.split(",")) {
    const [, key = "", value = "true"] = /^([^=]*)(?:=(.*))?$/.exec(part) ?? [];
    const name = Object.hasOwn(fieldNames, key) ? fieldNames[key] : undefined;
    if (name === undefined) throw new CommandFailure(`${flag}: unknown field "${key}"`);
    fields.set(name, value);
  }
  const { type = "volume", source, target, propagation, size, mode } = Object.fromEntries(fields);
  const allowed = Object.hasOwn(fieldsOf, type) ? fieldsOf[type] : undefined;
  if (allowed === undefined) throw new CommandFailure(`${flag}: type is bind, volume or tmpfs`);
  if (target === undefined) throw new CommandFailure(`${flag}: it has no target`);
  for (const name of fields.keys()) {
    if (name === "type" || name === "target" || allowed.includes(name)) continue;
    throw new CommandFailure(`${flag}: ${name} does not go with type ${type}`);
  }
  const destination = cleanDestination(flag, target);
  const isSet = (name: string): boolean => ["true", "1"].includes(fields.get(name) ?? "false");
  const readonly = isSet("readonly");
  if (type === "tmpfs") return tmpfsOf(destination, { size, mode, readonly });
  if (type === "volume") {
    if (source !== undefined) checkVolumeName(flag, source);
    return { volume: source, destination, readonly, copy: !isSet("nocopy"), options: [] };
  }
  if (source === undefined) throw new CommandFailure(`${flag}: a bind mount needs a source`);
  const spread = propagations.find((known) => known === propagation);
  if (propagation !== undefined && spread === undefined) {
    throw new CommandFailure(`${flag}: bind-propagation is ${propagations.join(", ")}`);
  }
  return bindMount(resolve(source), destination, {
    readonly,
    ...(spread === undefined ? {} : { propagation: spread }),
  });
}

function tmpfsOf(
  destination: string,
  { size, mode, readonly }: { size: string | undefined; mode: string | undefined; readonly: boolean },
): Mount {
  return tmpfsMount(destination, {
    ...(size === undefined ? {} : { size: parseBytes("--mount tmpfs-size", size) }),
    ...(mode === undefined ? {} : { mode: parseMode("--mount tmpfs-mode", mode) }),
    ...(readonly ? { options: ["nosuid", "noexec", "nodev", "ro"] } : {}),
  });
}
