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

type Table = Readonly<Record<string, unknown>>;

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
    const helpers = tableOf(file, config, "credHelpers");
    const helper = keys.find((key) => own(helpers, key) !== undefined);
    const program = helper === undefined ? textOf(file, config, "credsStore") : textOf(file, helpers, helper);
    for (const key of program === undefined ? [] : keys) {
      const found = await askHelper(program ?? "", key, signal);
      if (found !== undefined) return found;
    }
    const auths = tableOf(file, config, "auths");
    const key = listedKey(auths, keys, host);
    return key === undefined ? undefined : credentialsOf(file, key, tableOf(file, auths, key));
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
function listedKey(auths: Table, keys: readonly string[], host: string): string | undefined {
  const known = keys.find((key) => own(auths, key) !== undefined);
  return known ?? Object.keys(auths).find((key) => key.replace(/^https?:\/\//, "").split("/")[0] === host);
}

/** A value of a table's own; null is the same as absent. */
function own(table: Table, key: string): unknown {
  return Object.hasOwn(table, key) ? (table[key] ?? undefined) : undefined;
}

/** A table in a table; empty when it is absent. */
function tableOf(file: string, table: Table, key: string): Table {
  const value = own(table, key) ?? {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Table;
  throw invalidArgument(`credentials ${file}: "${key}" is not an object`);
}

function textOf(file: string, table: Table, key: string): string | undefined {
  const value = own(table, key);
  if (value === undefined || typeof value === "string") return value;
  throw invalidArgument(`credentials ${file}: "${key}" is not a string`);
}

async function readConfig(file: string): Promise<Table | undefined> {
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
  if (typeof config === "object" && config !== null) return config as Table;
  throw invalidArgument(`credentials ${file}: it is not a JSON object`);
}

function credentialsOf(file: string, key: string, entry: Table): Credentials | undefined {
  const [token, username, auth] = ["identitytoken", "username", "auth"].map((name) => textOf(file, entry, name));
  if (token) return { username: "", secret: token };
  if (username) return { username, secret: textOf(file, entry, "password") ?? "" };
  if (!auth) return undefined;
  const text = Buffer.from(auth, "base64").toString("utf8");
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
      const answer = answerOf(stdout);
      if (answer !== undefined)
        return resolve(answer.secret === undefined ? undefined : { ...answer, secret: answer.secret });
      return reject(
        failedPrecondition(`credential helper ${program} for ${key}: its output is no JSON of credentials`),
      );
    });
    // A helper that does not read its input makes EPIPE; its exit status tells what happened.
    child.stdin?.on("error", () => {});
    child.stdin?.end(key);
  });
}

/** What a helper has printed; undefined when it is none of its answers. */
function answerOf(stdout: string): { username: string; secret: string | undefined } | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(stdout);
  } catch {
    // Without the parser's words, which may quote a secret.
    return undefined;
  }
  if (typeof answer !== "object" || answer === null) return undefined;
  const [user, secret] = [own(answer as Table, "Username") ?? "", own(answer as Table, "Secret")];
  if (typeof user !== "string" || (secret !== undefined && typeof secret !== "string")) return undefined;
  return { username: user === "<token>" ? "" : user, secret };
}
