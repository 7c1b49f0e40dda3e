import type { LoadedPlugin } from "@ctrd/core/plugin";
import { loadApp } from "../app/load-app.ts";
import type { LoadedApp } from "../app/load-app.ts";
import { withProxyPlugins } from "../app/proxy-plugins.ts";
import type { ConfigOverrides, DaemonConfig } from "../config/index.ts";
import { loadDocuments, resolveConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";

/** Loads the configuration that a command line names, and the plugins of the app folder and of `proxy_plugins`. */
export async function loadComposition(options: Arguments): Promise<LoadedApp & { config: DaemonConfig }> {
  const [{ plugins, app }, documents] = await Promise.all([loadApp(options.app), loadDocuments(options.config)]);
  const config = await resolveConfig(documents, plugins, overridesOf(options));
  return { plugins: await withProxyPlugins(plugins, config.table.proxy_plugins), app, config };
}

/** Reads the configuration of a command line anew, for plugins that are loaded already. */
export async function loadConfig(options: Arguments, plugins: readonly LoadedPlugin[]): Promise<DaemonConfig> {
  return resolveConfig(await loadDocuments(options.config), plugins, overridesOf(options));
}

/** The settings of a command line. */
export function overridesOf({ root, state, address, logLevel }: Arguments): ConfigOverrides {
  return {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(address === undefined ? {} : { address }),
    ...(logLevel === undefined ? {} : { logLevel }),
  };
}
