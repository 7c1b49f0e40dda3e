import { failedPrecondition } from "@ctrd/core/errors";
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { builtins, isClosed } from "../builtins.ts";
import { findAppFolder } from "./app-folder.ts";
import type { Discovery } from "./discover.ts";
import { discoverPlugins } from "./discover.ts";
import { loadPackages } from "./load-packages.ts";
import type { PluginPackage } from "./plugin-package.ts";

/** The plugins of a daemon, and the app folder that they are of. */
export interface LoadedApp {
  readonly plugins: readonly LoadedPlugin[];
  /** Undefined: only the built-in packages. */
  readonly app: Discovery | undefined;
}

/**
 * Loads the plugins of an app folder, beside or instead of the built-in ones.
 *
 * @param given the folder; undefined: the current directory when it is one, else only the built-in packages
 * @throws ContainerdError as {@link discoverPlugins} and {@link loadPackages}
 */
export async function loadApp(given: string | undefined): Promise<LoadedApp> {
  if (isClosed) return { plugins: await loadClosed(given), app: undefined };
  const folder = await findAppFolder(given);
  if (folder === undefined) return { plugins: await loadPackages(builtins), app: undefined };
  const app = await discoverPlugins(folder);
  return { plugins: await loadPackages(packagesOf(app), app.directory), app };
}

/** The packages of an executable, which looks at no folder. */
async function loadClosed(given: string | undefined): Promise<LoadedPlugin[]> {
  if (given === undefined) return loadPackages(builtins);
  throw failedPrecondition(
    `--app ${given}: the plugins of this executable were chosen when it was made; make another with the npm package ` +
      `@ctrd/server: ctrd build --app ${given} --output FILE`,
  );
}

/** The packages of an app: the chosen built-in ones, each replaced by the app's own copy where it has one, then its others. */
export function packagesOf(app: Discovery): PluginPackage[] {
  const own = new Map(app.packages.map((one) => [one.name, one]));
  const chosen = builtins.filter(({ name }) => app.builtins.includes(name)).map((one) => own.get(one.name) ?? one);
  const names = new Set(chosen.map(({ name }) => name));
  return [...chosen, ...app.packages.filter(({ name }) => !names.has(name))];
}
