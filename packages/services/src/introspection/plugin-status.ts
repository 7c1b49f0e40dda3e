import type { Plugin } from "@ctrd/api/services/introspection/v1/introspection";
import { codeFromKind } from "@ctrd/core/errors";
import type { PluginState, PluginStatus } from "@ctrd/core/plugin";

/** Clients show a plugin with this code as skipped, and one with any other as failed. */
const skipCode = codeFromKind("not-implemented");

/** A plugin's status as the message that introspection sends. */
export function pluginMessage(status: PluginStatus): Plugin {
  return {
    type: status.type,
    id: status.id,
    requires: [...status.requires],
    platforms: status.meta.platforms.map((platform) => ({ osFeatures: [], ...platform })),
    exports: status.meta.exports,
    capabilities: [...status.meta.capabilities],
    initErr:
      status.state === "ok" ? undefined : { code: codeOf(status.state), message: messageOf(status), details: [] },
  };
}

/** A plugin's status out of the message. A disabled plugin cannot be told from a skipped one. */
export function pluginStatus(message: Plugin): PluginStatus {
  const { initErr } = message;
  const base = {
    type: message.type,
    id: message.id,
    requires: message.requires,
    meta: { exports: message.exports, platforms: message.platforms, capabilities: message.capabilities },
  };
  if (initErr === undefined) return { ...base, state: "ok" };
  return { ...base, state: initErr.code === skipCode ? "skipped" : "failed", error: initErr.message };
}

function codeOf(state: PluginState): number {
  return state === "failed" ? codeFromKind("unknown") : skipCode;
}

function messageOf(status: PluginStatus): string {
  const problem = status.error ?? (status.state === "disabled" ? "disabled by the configuration" : status.state);
  return status.remedy === undefined ? problem : `${problem} (${status.remedy})`;
}
