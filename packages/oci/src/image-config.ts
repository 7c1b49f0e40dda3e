/**
 * What an image says about how it is run.
 *
 * Only the fields below are read. Labels, annotations and volumes of an image are its author's words: none of them
 * becomes an instruction to the runtime (CVE-2026-53488).
 *
 * @module
 */
import { posix } from "node:path";
import { failedPrecondition, invalidArgument, resourceExhausted } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { processOf } from "./context.ts";
import { mergeEnvironment } from "./environment.ts";
import { addGroupsOfUser, setUser } from "./user.ts";

/** The part of an image configuration that a spec is made from. Empty is the same as absent. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** `user|uid[:group|gid]` */
  readonly user: string;
}

/** Options of {@link withImageConfig}. */
export interface ImageConfigOptions {
  /** In place of the image's command. They follow its entry point. */
  args?: readonly string[];
  /** In place of the image's entry point, which also drops its command; empty for none. */
  entrypoint?: readonly string[];
}

const maxConfigBytes = 4 << 20;
const defaultEnv = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

/**
 * Reads an image configuration document (`application/vnd.oci.image.config.v1+json` or Docker's).
 *
 * @throws ContainerdError `invalid-argument` when a field is of the wrong type or holds a zero byte
 */
export function parseImageConfig(document: Uint8Array | string): ImageConfig {
  const size = Buffer.byteLength(document);
  if (size > maxConfigBytes) {
    throw resourceExhausted(`image configuration has ${size} bytes, the limit is ${maxConfigBytes}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(document).toString());
  } catch (cause) {
    throw invalidArgument("image configuration is not JSON", { cause });
  }
  const config = member(parsed, "config") ?? {};
  return {
    env: strings(config, "Env"),
    entrypoint: strings(config, "Entrypoint"),
    cmd: strings(config, "Cmd"),
    workingDir: text(config, "WorkingDir"),
    user: text(config, "User"),
  };
}

/**
 * Takes environment, arguments, working directory and user from the image. Variables that the spec has already stay.
 *
 * The supplementary groups of the user (of root, when the image names none) are looked up in the root filesystem.
 */
export function withImageConfig(options: ImageConfigOptions = {}): SpecOption {
  return async (context, spec) => {
    if (context.imageConfig === undefined) {
      throw failedPrecondition(`container "${context.id}": it has no image to take a configuration from`);
    }
    const image = await context.imageConfig();
    const process = processOf(spec);
    process.env = mergeEnvironment(image.env.length > 0 ? image.env : defaultEnv, process.env ?? []);
    process.args = argumentsOf(image, options);
    process.cwd = posix.isAbsolute(image.workingDir) ? image.workingDir : posix.join("/", image.workingDir);
    if (image.user !== "") await setUser(context, spec, image.user);
    // A user by number needs no root filesystem, and is in no groups that are known then.
    if (context.withRootfs === undefined) return;
    await addGroupsOfUser(context, spec, image.user === "" ? "root" : process.user.uid);
  };
}

function argumentsOf(image: ImageConfig, options: ImageConfigOptions): string[] {
  const { args = [], entrypoint } = options;
  if (entrypoint !== undefined) return [...entrypoint, ...args];
  return [...image.entrypoint, ...(args.length > 0 ? args : image.cmd)];
}

function member(value: unknown, key: string): unknown {
  if (value === null || typeof value !== "object") throw invalidArgument("image configuration is not a JSON object");
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function text(config: unknown, key: string): string {
  const value = member(config, key) ?? "";
  if (typeof value !== "string" || value.includes("\0")) {
    throw invalidArgument(`image configuration: ${key} is not a string without zero bytes`);
  }
  return value;
}

function strings(config: unknown, key: string): string[] {
  const value = member(config, key) ?? [];
  const good = Array.isArray(value) && value.every((item) => typeof item === "string" && !item.includes("\0"));
  if (!good) throw invalidArgument(`image configuration: ${key} is not a list of strings without zero bytes`);
  return value as string[];
}
