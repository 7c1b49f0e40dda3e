/**
 * The networks of a configuration directory.
 *
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { errnoOf, invalidArgument, messageOf, notFound, permissionDenied } from "@ctrd/core/errors";
import type { NetworkConfig, PluginConfig } from "./config.ts";
import { parseNetworkConfig, parsePluginConfig } from "./config.ts";

const extensions = new Set([".conf", ".conflist", ".json"]);

/**
 * Reads the first `maxConfNum` networks of a directory (0: all), in the order of their file names.
 *
 * @throws ContainerdError `not-found` when there is none; `invalid-argument` that names the file that is wrong: one fails
 * all, since nobody knows which network was meant
 */
export async function loadNetworks(directory: string, maxConfNum = 0): Promise<NetworkConfig[]> {
  const names = (await namesIn(directory)).filter((name) => extensions.has(extname(name))).toSorted();
  const chosen = maxConfNum > 0 ? names.slice(0, maxConfNum) : names;
  if (chosen.length === 0) {
    throw notFound(`no network is configured: ${directory} holds no ${[...extensions].join(", ")} file`);
  }
  const networks: NetworkConfig[] = [];
  for (const name of chosen) {
    const network = await readNetwork(join(directory, name));
    const twin = networks.find((other) => other.name === network.name);
    if (twin !== undefined) {
      throw invalidArgument(
        `network configuration ${network.source}: network "${network.name}" is also in ${twin.source}`,
      );
    }
    networks.push(network);
  }
  return networks;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT")
      throw notFound(`no network is configured: ${directory} does not exist`, { cause: error });
    throw error;
  }
}

/**
 * Reads the network of one file. The plugins of a list are followed by those in files of their own,
 * `<network>/*.conf` beside it, unless the list says `loadOnlyInlinedPlugins`.
 *
 * @throws ContainerdError that names the file
 */
export async function readNetwork(file: string): Promise<NetworkConfig> {
  const network = parseNetworkConfig(await readText(file), file);
  if (network.onlyInlinedPlugins) return network;
  const directory = join(dirname(file), network.name);
  const more: PluginConfig[] = [];
  for (const name of (await pluginFilesIn(directory)).toSorted()) {
    const path = join(directory, name);
    more.push(parsePluginConfig(await readText(path), path));
  }
  if (more.length === 0) return network;
  const plugins = [...network.plugins, ...more];
  // What is kept of an attachment must tell all that was done.
  return { ...network, plugins, document: { ...network.document, plugins, loadOnlyInlinedPlugins: true } };
}

async function pluginFilesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => extname(name) === ".conf");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return [];
    throw error;
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const message = `network configuration ${file}: ${messageOf(error)}`;
    switch (errnoOf(error)) {
      case "ENOENT":
        throw notFound(message, { cause: error });
      case "EACCES":
      case "EPERM":
        throw permissionDenied(message, { cause: error });
      default:
        throw error;
    }
  }
}
