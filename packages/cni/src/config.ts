/**
 * Network configurations: what a file must hold.
 *
 * @module
 */
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import type { JsonObject } from "./json.ts";
import { isObject, kindOfJson, stringsOf } from "./json.ts";
import { checkNetworkName } from "./names.ts";
import type { CniVersion } from "./versions.ts";
import { supportedVersions } from "./versions.ts";

/** One plugin of a network, with all keys of its configuration. */
export interface PluginConfig extends JsonObject {
  /** Name of its program. */
  readonly type: string;
}

/** A network: plugins that run one after the other. */
export interface NetworkConfig {
  readonly name: string;
  /** What the plugins are spoken to in: the newest of the configuration's versions that is known here. */
  readonly cniVersion: CniVersion;
  readonly disableCheck: boolean;
  readonly disableGc: boolean;
  /** Whether files of plugins beside the configuration are left out; see `readNetwork`. */
  readonly onlyInlinedPlugins: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The whole file, whose other keys are its author's. */
  readonly document: JsonObject;
  /** Where it was read from; for messages. */
  readonly source: string;
}

/** Reads the configuration of a further plugin of a network. @throws ContainerdError as {@link parseNetworkConfig} */
export function parsePluginConfig(text: string, source: string): PluginConfig {
  return pluginOf(parseJson(text, source), "", source);
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(source, `it is not JSON: ${messageOf(error)}`, error);
  }
}

/**
 * Reads a network configuration: a list of plugins, or the configuration of a single one.
 *
 * @param source what messages name, usually the file
 * @throws ContainerdError `invalid-argument` that names the source and the key
 */
export function parseNetworkConfig(text: string, source: string): NetworkConfig {
  const document = parseJson(text, source);
  if (!isObject(document)) throw wrong(source, `it is ${kindOfJson(document)}, not an object`);
  const single = document["plugins"] === undefined;
  if (single && document["type"] === undefined) {
    throw wrong(source, `it has neither "plugins" (a list) nor "type" (a single plugin)`);
  }
  return {
    name: nameOf(document, source),
    cniVersion: versionOf(document, source),
    disableCheck: flagOf(document, "disableCheck", source),
    disableGc: flagOf(document, "disableGC", source),
    onlyInlinedPlugins: single || flagOf(document, "loadOnlyInlinedPlugins", source),
    plugins: single ? [pluginOf(document, "", source)] : pluginsOf(document["plugins"], source),
    document,
    source,
  };
}

function nameOf(document: JsonObject, source: string): string {
  const { name } = document;
  if (typeof name !== "string") throw wrong(source, `"name" must be a string, got ${kindOfJson(name)}`);
  try {
    checkNetworkName(name);
  } catch (error) {
    throw wrong(source, `"name": ${messageOf(error)}`, error);
  }
  return name;
}

function versionOf(document: JsonObject, source: string): CniVersion {
  const { cniVersion, cniVersions } = document;
  const known = `known are ${supportedVersions.join(", ")}`;
  if (cniVersion !== undefined && typeof cniVersion !== "string") {
    throw wrong(source, `"cniVersion" must be a string, got ${kindOfJson(cniVersion)}`);
  }
  const offered = [...(cniVersion === undefined ? [] : [cniVersion]), ...stringsOf(cniVersions)];
  if (offered.length === 0) throw wrong(source, `"cniVersion" is missing, which means 0.1.0; ${known}`);
  const best = supportedVersions.findLast((version) => offered.includes(version));
  if (best !== undefined) return best;
  throw wrong(source, `"cniVersion" ${offered.map((version) => JSON.stringify(version)).join(", ")}: ${known}`);
}

function flagOf(document: JsonObject, key: string, source: string): boolean {
  const value = document[key];
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  // libcni takes these words too.
  if (value === "true" || value === "false") return value === "true";
  throw wrong(source, `"${key}" must be true or false, got ${kindOfJson(value)}`);
}

function pluginsOf(value: unknown, source: string): PluginConfig[] {
  if (!Array.isArray(value)) throw wrong(source, `"plugins" must be a list, got ${kindOfJson(value)}`);
  if (value.length === 0) throw wrong(source, `"plugins" is empty: a network has at least one plugin`);
  return value.map((plugin, index) => pluginOf(plugin, `plugins[${index}]`, source));
}

function pluginOf(value: unknown, key: string, source: string): PluginConfig {
  if (!isObject(value)) {
    throw wrong(source, `${key === "" ? "it" : `"${key}"`} must be an object, got ${kindOfJson(value)}`);
  }
  const { type, capabilities, ipam } = value;
  const at = (name: string): string => (key === "" ? name : `${key}.${name}`);
  if (typeof type !== "string") throw wrong(source, `"${at("type")}" must be a string, got ${kindOfJson(type)}`);
  checkProgramName(type, at("type"), source);
  if (capabilities !== undefined && capabilities !== null) {
    const good = isObject(capabilities) && Object.values(capabilities).every((flag) => typeof flag === "boolean");
    if (!good) throw wrong(source, `"${at("capabilities")}" must be an object of true and false`);
  }
  if (ipam !== undefined && ipam !== null) {
    if (!isObject(ipam)) throw wrong(source, `"${at("ipam")}" must be an object, got ${kindOfJson(ipam)}`);
    if (typeof ipam["type"] === "string") checkProgramName(ipam["type"], at("ipam.type"), source);
  }
  return { ...value, type };
}

/** A type is looked for in the directories of plugins, and must not lead out of them. */
function checkProgramName(type: string, key: string, source: string): void {
  if (type === "" || type === "." || type === ".." || /[/\0]/.test(type)) {
    throw wrong(source, `"${key}" must be the name of a program, got ${JSON.stringify(type)}`);
  }
}

function wrong(source: string, what: string, cause?: unknown): Error {
  return invalidArgument(`network configuration ${source}: ${what}`, cause === undefined ? {} : { cause });
}
