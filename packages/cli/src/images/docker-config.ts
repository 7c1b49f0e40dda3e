/**
 * Docker's `config.json`, where credentials of registries are kept.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";

/** The name under which Docker Hub's credentials are kept. */
const hubKey = "https://index.docker.io/v1/";
const helperTimeoutMs = 30_000;

interface DockerConfig extends Record<string, unknown> {
  auths?: Record<string, object>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
}

/** Path of the file. */
export function configFile(): string {
  return join(process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"), "config.json");
}

/** The key that a registry has in the file. */
export function configKey(host: string): string {
  return ["docker.io", "index.docker.io", "registry-1.docker.io"].includes(host) ? hubKey : host;
}

/** Keeps credentials, in the helper program that the file names for the host or in the file. @returns where */
export async function storeCredentials(host: string, username: string, secret: string): Promise<string> {
  const config = await readConfig();
  const key = configKey(host);
  const helper = config.credHelpers?.[key] ?? config.credsStore;
  if (helper !== undefined) {
    await runHelper(helper, "store", JSON.stringify({ ServerURL: key, Username: username, Secret: secret }));
    return `docker-credential-${helper}`;
  }
  const auth = Buffer.from(`${username}:${secret}`).toString("base64");
  await writeConfig({ ...config, auths: { ...config.auths, [key]: { auth } } });
  return configFile();
}

/** Forgets credentials. @returns whether there were any */
export async function removeCredentials(host: string): Promise<boolean> {
  const config = await readConfig();
  const key = configKey(host);
  const helper = config.credHelpers?.[key] ?? config.credsStore;
  if (helper !== undefined) await runHelper(helper, "erase", key);
  const { [key]: known, ...auths } = config.auths ?? {};
  if (known === undefined) return helper !== undefined;
  await writeConfig({ ...config, auths });
  return true;
}

async function readConfig(): Promise<DockerConfig> {
  const file = configFile();
  try {
    return JSON.parse(await readFile(file, "utf8")) as DockerConfig;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return {};
    throw new CommandFailure(`read ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** The file holds secrets of others as well: it is replaced whole, and keeps its mode. */
async function writeConfig(config: DockerConfig): Promise<void> {
  const file = configFile();
  const temporary = `${file}.${process.pid}`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(temporary, `${JSON.stringify(config, undefined, "\t")}\n`, { mode: await modeOf(file) });
  await rename(temporary, file);
}

async function modeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).mode & 0o777;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0o600;
    throw error;
  }
}

function runHelper(name: string, action: "store" | "erase", input: string): Promise<void> {
  if (!/^[\w.-]+$/.test(name)) throw new CommandFailure(`credential helper "${name}" is not the name of a program`);
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = execFile(program, [action], { timeout: helperTimeoutMs }, (error, stdout) => {
      if (error === null) return resolve();
      const said = stdout.trim() === "" ? error.message : stdout.trim();
      return reject(new CommandFailure(`${program} ${action}: ${said}`, { cause: error }));
    });
    // A helper that does not read its input makes EPIPE; its exit status tells what happened.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}
