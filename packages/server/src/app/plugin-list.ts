import { invalidArgument } from "@ctrd/core/errors";
import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { builtins } from "../builtins.ts";
import { allOrFirstError, loadPackages } from "./load-packages.ts";
import type { PluginPackage } from "./plugin-package.ts";
import { problemOfRegistration } from "./registrations.ts";

/** Plugins as a composition lists them: `default` exports of plugin entries, packages, or loaded plugins. */
export type PluginList = readonly (AnyRegistration | readonly AnyRegistration[] | LoadedPlugin | PluginPackage)[];

/** The plugins of the default set, loaded. */
export function defaultPlugins(): Promise<LoadedPlugin[]> {
  return loadPackages(builtins);
}

/**
 * The plugins of a list; its packages are loaded.
 *
 * @throws ContainerdError `invalid-argument` for an entry that is none, naming its position and the wrong field; and as
 * {@link loadPackages}
 */
export async function pluginsOf(list: PluginList): Promise<LoadedPlugin[]> {
  return (await allOrFirstError(list.map((entry, index) => pluginsOfEntry(entry, `plugins[${index}]`)))).flat();
}

async function pluginsOfEntry(entry: PluginList[number], path: string): Promise<LoadedPlugin[]> {
  if (isArray(entry)) return entry.map((registration, index) => loadedPlugin({ registration }, `${path}[${index}]`));
  // Callers without types may list anything.
  if (typeof entry !== "object" || entry === null) return [loadedPlugin({ registration: entry }, path)];
  if ("load" in entry) return loadPackages([entry]);
  if ("registration" in entry) return [loadedPlugin(entry, `${path}.registration`)];
  return [loadedPlugin({ registration: entry }, path)];
}

function loadedPlugin(plugin: LoadedPlugin, path: string): LoadedPlugin {
  const problem = problemOfRegistration(path, plugin.registration);
  if (problem === undefined) return plugin;
  throw invalidArgument(`${problem}; list the default exports of plugin entries, or packages such as builtins`);
}

function isArray(entry: PluginList[number]): entry is readonly AnyRegistration[] {
  return Array.isArray(entry);
}
