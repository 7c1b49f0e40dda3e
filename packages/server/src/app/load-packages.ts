import type { AnyRegistration, LoadedPlugin, PluginSource } from "@ctrd/core/plugin";
import { describeSource } from "@ctrd/core/plugin";
import { failedPrecondition, invalidArgument, messageOf } from "@ctrd/core/errors";
import { plainMessage } from "../plain-message.ts";
import { version } from "../version.ts";
import { checkCoreCopy, serverDirectory } from "./core-copies.ts";
import { findPackage, versionOf } from "./package-manifest.ts";
import type { PluginModule, PluginPackage } from "./plugin-package.ts";
import { registrationsOf } from "./registrations.ts";

/**
 * Imports packages at the same time.
 *
 * @param app folder that the packages are dependencies of, for messages
 * @returns their plugins in the order of the list
 * @throws ContainerdError naming the first package that cannot be used, its version, why, and what to do; and how many
 * more there are
 */
export async function loadPackages(packages: readonly PluginPackage[], app?: string): Promise<LoadedPlugin[]> {
  return (await allOrFirstError(packages.map((one) => loadPackage(one, app)))).flat();
}

/** The results of all; when some fail, the first error, whose message counts the others. */
export async function allOrFirstError<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  const errors = results.filter((result) => result.status === "rejected").map((result) => result.reason as unknown);
  const [first] = errors;
  if (first === undefined) return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (errors.length === 1) throw first;
  throw failedPrecondition(`${plainMessage(first)} (and ${errors.length - 1} more)`, { cause: first });
}

async function loadPackage(one: PluginPackage, app: string | undefined): Promise<LoadedPlugin[]> {
  const importing = one.load();
  // Its failure is reported after that of the checks, which may be its reason.
  importing.catch(() => {});
  const source = one.source ?? (await findSource(one.name));
  const isOurs = one.source === undefined;
  await checkCoreCopy(source, isOurs ? undefined : app);
  const place = app === undefined ? "the list of plugins" : `${app}/package.json`;
  const remedy = isOurs ? "reinstall @ctrd/server" : `upgrade it, or remove it from ${place}`;
  const registrations = registrationsIn(await imported(source, importing, remedy), source);
  return registrations.map((registration) => ({ registration, source }));
}

async function imported(source: PluginSource, importing: Promise<PluginModule>, remedy: string): Promise<PluginModule> {
  try {
    return await importing;
  } catch (error) {
    const [why = ""] = messageOf(error).split("\n");
    throw failedPrecondition(`import plugin package ${describeSource(source)}${placeOf(source)}: ${why}; ${remedy}`, {
      cause: error,
    });
  }
}

function registrationsIn(module: PluginModule, source: PluginSource): readonly AnyRegistration[] {
  const found = registrationsOf(module.default);
  if ("registrations" in found) return found.registrations;
  const remedy = `its authors must export a registration, or an array of them, as the default`;
  throw invalidArgument(
    `the plugin entry of ${describeSource(source)}${placeOf(source)} exports no plugin: ${found.problem}; ${remedy}`,
  );
}

/** Where a package of the daemon itself came from. */
export async function findSource(name: string): Promise<PluginSource> {
  const found = await findPackage(serverDirectory, name);
  // Bundled into one file with the server, whose version its packages share.
  if (found === undefined) return { name, version };
  return { name, version: versionOf(found.manifest), directory: found.directory };
}

function placeOf(source: PluginSource): string {
  return source.directory === undefined ? "" : ` in ${source.directory}`;
}
