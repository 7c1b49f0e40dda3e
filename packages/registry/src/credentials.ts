/**
 * Credentials: Docker's `config.json` and its helper programs.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument, messageOf } from "@ctrd/core/errors";

/** User and secret for a host. An empty user with a secret: the secret is a refresh token. */
export interface Credentials {
  readonly username: string;
  readonly secret: string;
}

/** Finds credentials by host; undefined: ask anonymously. */
export type CredentialSource = (host: string, signal: AbortSignal) => Promise<Credentials | undefined>;

/** Programs that print more than this are wrong. */
const maxHelperOutput = 1 << 20;
const helperTimeoutMs = 30_000;
/** The name under which Docker Hub's credentials are kept. */
const hubKey = "https://index.docker.io/v1/";

interface DockerConfig {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
}

/**
 * Reads Docker's configuration, anew each time: `login` may have changed it.
 *
 * @param file by default `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`; a missing one holds nothing
 */
export function dockerCredentials(file: string = defaultFile()): CredentialSource {
  return async (host, signal) => {
    const config = await readConfig(file);
    if (config === undefined) return undefined;
    const keys = keysOf(host);
    const helper = keys.map((key) => own(config.credHelpers, key)).find((name) => name !== undefined);
    const program = helper ?? config.credsStore;
    for (const key of program === undefined ? [] : keys) {
      const found = await askHelper(program ?? "", key, signal);
      if (found !== undefined) return found;
    }
    const key = listedKey(config.auths, keys, host);
    const entry = key === undefined ? undefined : own(config.auths, key);
    return key === undefined || entry === undefined ? undefined : credentialsOf(file, key, entry);
  };
}

function defaultFile(): string {
  return join(process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"), "config.json");
}

/** Names under which a host may be listed. */
function keysOf(host: string): string[] {
  const hub = host === "registry-1.docker.io" || host === "docker.io" || host === "index.docker.io";
  return hub
    ? [hubKey, "docker.io", "index.docker.io"]
    : [host, `https://${host}`, `https://${host}/`, `http://${host}`];
}

/** The key of a host; old versions of Docker wrote URLs with a path. */
function listedKey(auths: DockerConfig["auths"], keys: readonly string[], host: string): string | undefined {
  const known = keys.find((key) => own(auths, key) !== undefined);
  return known ?? Object.keys(auths ?? {}).find((key) => key.replace(/^https?:\/\//, "").split("/")[0] === host);
}

function own<T>(table: Record<string, T> | null | undefined, key: string): T | undefined {
  return typeof table === "object" && table !== null && Object.hasOwn(table, key) ? table[key] : undefined;
}

async function readConfig(file: string): Promise<DockerConfig | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw failedPrecondition(`read credentials ${file}: ${errnoOf(error) ?? messageOf(error)}`, { cause: error });
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    // Without the parser's words, which may quote a secret.
    throw invalidArgument(`credentials ${file}: it is not JSON`);
  }
  if (typeof config === "object" && config !== null) return config;
  throw invalidArgument(`credentials ${file}: it is not a JSON object`);
}

function credentialsOf(
  file: string,
  key: string,
  entry: NonNullable<DockerConfig["auths"]>[string],
): Credentials | undefined {
  if (entry.identitytoken) return { username: "", secret: entry.identitytoken };
  if (entry.username) return { username: entry.username, secret: entry.password ?? "" };
  if (!entry.auth) return undefined;
  const text = Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) throw invalidArgument(`credentials ${file}: auth of "${key}" is not <user>:<password> in base64`);
  // Old versions of Docker padded the password with NULs.
  return { username: text.slice(0, colon), secret: text.slice(colon + 1).replace(/\0+$/, "") };
}

/** Runs `docker-credential-<name> get`. */
function askHelper(name: string, key: string, signal: AbortSignal): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(name)) throw invalidArgument(`credential helper "${name}": not the name of a program`);
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const options = { signal, timeout: helperTimeoutMs, maxBuffer: maxHelperOutput };
    const child = execFile(program, ["get"], options, (error, stdout) => {
      if (error !== null) {
        // Helpers say so in words.
        if (/credentials not found/i.test(stdout)) return resolve(undefined);
        const missing = error.code === "ENOENT" ? `it is not in PATH; install it or remove it from the file` : "";
        const said = missing || stdout.trim() || error.message;
        return reject(failedPrecondition(`credential helper ${program} for ${key}: ${said}`, { cause: error }));
      }
      try {
        const { Username, Secret } = JSON.parse(stdout) as { Username?: string; Secret?: string };
        const username = Username === "<token>" ? "" : (Username ?? "");
        return resolve(Secret === undefined ? undefined : { username, secret: Secret });
      } catch {
        return reject(failedPrecondition(`credential helper ${program} for ${key}: its output is no JSON`));
      }
    });
    // A helper that does not read its input makes EPIPE; its exit status tells what happened.
    child.stdin?.on("error", () => {});
    child.stdin?.end(key);
  });
}
