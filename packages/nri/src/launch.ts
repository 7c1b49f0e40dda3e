/**
 * Plugins that the daemon starts itself.
 *
 * @module
 */
import { errnoOf } from "@ctrd/core/errors";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { PluginIdentity } from "./plugin-connection.ts";

/** A plugin that was started. */
export interface LaunchedPlugin {
  readonly identity: PluginIdentity;
  readonly socket: Duplex;
  /** Ends the program. */
  stop(): void;
}

/** Programs `NN-name` of a directory, in their order. No directory, or one that is not there: none. */
export async function findPrograms(directory: string): Promise<PluginIdentity[]> {
  const found: PluginIdentity[] = [];
  for (const file of (await listDirectory(directory)).toSorted()) {
    const [, index, name] = /^(\d\d)-(.+)$/.exec(file) ?? [];
    if (index === undefined || name === undefined || !(await isProgram(join(directory, file)))) continue;
    found.push({ index, name });
  }
  return found;
}

/** Starts a program of the directory; its descriptor 3 is the connection. @throws when it cannot be started */
export async function launch(directory: string, identity: PluginIdentity): Promise<LaunchedPlugin> {
  const child = spawn(join(directory, `${identity.index}-${identity.name}`), [], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: { NRI_PLUGIN_NAME: identity.name, NRI_PLUGIN_IDX: identity.index, NRI_PLUGIN_SOCKET: "3" },
  });
  await once(child, "spawn");
  return { identity, socket: child.stdio[3] as Duplex, stop: () => void child.kill("SIGKILL") };
}

/** Configuration of a plugin: `NN-name.conf`, else `name.conf`, of a directory; empty when there is neither. */
export async function readConfig(directory: string, { index, name }: PluginIdentity): Promise<string> {
  for (const file of [`${index}-${name}.conf`, `${name}.conf`]) {
    try {
      return await readFile(join(directory, file), "utf8");
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return "";
}

async function listDirectory(directory: string): Promise<string[]> {
  if (directory === "") return [];
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EACCES" || errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
