import { pluginApi } from "@ctrd/core/plugin";
import { version } from "../version.ts";
import type { PackageManifest } from "./package-manifest.ts";
import { isObject } from "./package-manifest.ts";

/** What the manifest of a package says about its plugins. */
export type PluginField =
  /** The exports subpath of its plugin entry. */
  | { readonly entry: string }
  /** It has none; `reason` when it looks as if it should have some. */
  | { readonly none: true; readonly reason?: string }
  /** What is wrong with it, and what to do. */
  | { readonly problem: string };

/** Keyword of plugin packages in the registry. */
const pluginKeyword = "ctrd-plugin";

/**
 * Reads `"ctrd": {"plugin": "./plugin", "api": 1}` of a package.
 *
 * @param name `name@version`, for the message
 */
export function readPluginField(name: string, manifest: PackageManifest): PluginField {
  const { ctrd, keywords } = manifest;
  if (!isObject(ctrd) || ctrd["plugin"] === undefined) {
    const claims = Array.isArray(keywords) && keywords.includes(pluginKeyword);
    if (!claims) return { none: true };
    return { none: true, reason: `it has the keyword "${pluginKeyword}", but no "ctrd.plugin" in its package.json` };
  }
  const { plugin, api } = ctrd;
  if (typeof plugin !== "string" || !/^\.(\/.+)?$/.test(plugin)) {
    const remedy = `its authors must name the entry, as in "./plugin"; until then remove it`;
    return { problem: `${name}: "ctrd.plugin" in its package.json is ${JSON.stringify(plugin)}; ${remedy}` };
  }
  const apiProblem = problemOfApi(name, api);
  return apiProblem === undefined ? { entry: plugin } : { problem: apiProblem };
}

function problemOfApi(name: string, api: unknown): string | undefined {
  if (api === pluginApi) return undefined;
  if (typeof api !== "number" || !Number.isInteger(api)) {
    const found = api === undefined ? "missing" : JSON.stringify(api);
    const remedy = `its authors must set it to the plugin API they wrote it for; until then remove it`;
    return `${name}: "ctrd.api" in its package.json must be a number and is ${found}; ${remedy}`;
  }
  const remedy = api > pluginApi ? "upgrade @ctrd/server, or install an older" : "install a newer";
  const versions = `plugin API ${api}, this ctrd (@ctrd/server@${version}) has API ${pluginApi}`;
  return `${name} is written for ${versions}; ${remedy} ${name.slice(0, name.lastIndexOf("@"))}`;
}
