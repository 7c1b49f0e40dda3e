import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { PluginSource } from "@ctrd/core/plugin";
import type { AppFolder } from "./app-folder.ts";
import { readAppFolder } from "./app-folder.ts";
import { allOrFirstError } from "./load-packages.ts";
import { exportedFile, importConditions } from "./package-exports.ts";
import type { InstalledPackage } from "./package-manifest.ts";
import { findPackage, isObject, versionOf } from "./package-manifest.ts";
import { readPluginField } from "./plugin-field.ts";
import type { PluginModule, PluginPackage } from "./plugin-package.ts";

/** A plugin package that an app has. */
export interface AppPackage extends PluginPackage {
  readonly source: PluginSource & { readonly directory: string };
  /** Path of its plugin entry. */
  readonly entry: string;
}

/** A dependency that looks like a plugin package and is not loaded. */
export interface PassedOver {
  readonly name: string;
  readonly reason: string;
}

/** What an app folder is made of. */
export interface Discovery {
  readonly directory: string;
  /** Names of the built-in packages that it has, besides. */
  readonly builtins: readonly string[];
  /** Its plugin packages, in the order of its package.json. */
  readonly packages: readonly AppPackage[];
  readonly passedOver: readonly PassedOver[];
}

/**
 * Finds the plugin packages among the dependencies of an app folder, without importing them. An app that has a plugin
 * itself is one of them.
 *
 * @throws ContainerdError when a dependency is not installed, or its manifest names no usable plugin entry: the package,
 * its version, and what to do
 */
export async function discoverPlugins(app: string | AppFolder): Promise<Discovery> {
  const folder = typeof app === "string" ? await readAppFolder(app) : app;
  const { directory, manifest, builtins } = folder;
  const own = inspectPackage({ directory, manifest }, String(manifest.name ?? "the app"));
  const dependencies = dependenciesOf(folder).map((dependency) => inspectDependency(directory, dependency));
  const found = await allOrFirstError([own, ...dependencies]);
  return {
    directory,
    builtins,
    packages: found.filter((one) => one !== undefined && "entry" in one),
    passedOver: found.filter((one) => one !== undefined && "reason" in one),
  };
}

interface Dependency {
  readonly name: string;
  readonly isOptional: boolean;
}

function dependenciesOf({ manifest }: AppFolder): Dependency[] {
  const namesIn = (field: unknown): string[] => (isObject(field) ? Object.keys(field) : []);
  const optional = new Set(namesIn(manifest.optionalDependencies));
  // npm lists an optional dependency in both fields at times; then it is optional.
  const names = new Set([...namesIn(manifest.dependencies), ...optional]);
  return [...names].map((name) => ({ name, isOptional: optional.has(name) }));
}

type Inspected = AppPackage | PassedOver | undefined;

async function inspectDependency(app: string, { name, isOptional }: Dependency): Promise<Inspected> {
  const installed = await findPackage(app, name);
  if (installed !== undefined) return inspectPackage(installed, name);
  if (isOptional) return { name, reason: "it is an optional dependency and not installed" };
  throw failedPrecondition(
    `${name}, a dependency of ${join(app, "package.json")}, is not installed; run "npm install" in ${app}`,
  );
}

async function inspectPackage({ directory, manifest }: InstalledPackage, name: string): Promise<Inspected> {
  const version = versionOf(manifest);
  const field = readPluginField(`${name}@${version}`, manifest);
  if ("problem" in field) throw invalidArgument(field.problem);
  if ("none" in field) return field.reason === undefined ? undefined : { name, reason: field.reason };
  const file = exportedFile(manifest, field.entry, importConditions());
  const claim = `${name}@${version} in ${directory}: its "ctrd.plugin" is "${field.entry}"`;
  if (file === undefined) {
    throw invalidArgument(`${claim}, which its "exports" do not have; its authors must add it, until then remove it`);
  }
  const entry = join(directory, file);
  if (!(await isFile(entry))) throw failedPrecondition(`${claim}, but ${entry} is no file; build or reinstall ${name}`);
  const load = (): Promise<PluginModule> => import(pathToFileURL(entry).href) as Promise<PluginModule>;
  return { name, source: { name, version, directory }, entry, load };
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
    throw error;
  }
}
