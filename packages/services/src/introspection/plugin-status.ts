import type { Plugin } from "@ctrd/api/services/introspection/v1/introspection";
import { codeFromKind } from "@ctrd/core/errors";
import type { PluginSource, PluginState, PluginStatus } from "@ctrd/core/plugin";

/** End of the message of a plugin that declined: what `ctr` tells it from a failed one by. */
const skipMark = ": skip plugin";
const skipCode = codeFromKind("not-implemented");

/** Exports that tell where a plugin is from; the message has no fields for that, and clients show exports. */
const [packageKey, versionKey, directoryKey] = ["ctrd.package", "ctrd.version", "ctrd.directory"] as const;

/** A plugin's status as the message that introspection sends. */
export function pluginMessage(status: PluginStatus): Plugin {
  return {
    type: status.type,
    id: status.id,
    requires: [...status.requires],
    platforms: status.meta.platforms.map((platform) => ({ osFeatures: [], ...platform })),
    exports: new Map([...status.meta.exports, ...sourceExports(status.source)]),
    capabilities: [...status.meta.capabilities],
    initErr:
      status.state === "ok" ? undefined : { code: codeOf(status.state), message: messageOf(status), details: [] },
  };
}

/** A plugin's status out of the message. A disabled plugin cannot be told from a skipped one. */
export function pluginStatus(message: Plugin): PluginStatus {
  const { initErr } = message;
  const exports = new Map(message.exports);
  const source = takeSource(exports);
  const base = {
    type: message.type,
    id: message.id,
    requires: message.requires,
    meta: { exports, platforms: message.platforms, capabilities: message.capabilities },
    ...(source === undefined ? {} : { source }),
  };
  if (initErr === undefined) return { ...base, state: "ok" };
  if (!initErr.message.endsWith(skipMark)) return { ...base, state: "failed", error: initErr.message };
  return { ...base, state: "skipped", error: initErr.message.slice(0, -skipMark.length) };
}

function sourceExports(source: PluginSource | undefined): [string, string][] {
  if (source === undefined) return [];
  const { name, version, directory } = source;
  const place: [string, string][] = directory === undefined ? [] : [[directoryKey, directory]];
  return [[packageKey, name], [versionKey, version], ...place];
}

/** Takes the source out of the exports. */
function takeSource(exports: Map<string, string>): PluginSource | undefined {
  const [name, version, directory] = [packageKey, versionKey, directoryKey].map((key) => exports.get(key));
  if (name === undefined || version === undefined) return undefined;
  for (const key of [packageKey, versionKey, directoryKey]) exports.delete(key);
  return { name, version, ...(directory === undefined ? {} : { directory }) };
}

function codeOf(state: PluginState): number {
  return state === "failed" ? codeFromKind("unknown") : skipCode;
}

function messageOf(status: PluginStatus): string {
  const problem = status.error ?? (status.state === "disabled" ? "disabled by the configuration" : status.state);
  const advised = status.remedy === undefined ? problem : `${problem} (${status.remedy})`;
  return status.state === "failed" ? advised : `${advised}${skipMark}`;
}
