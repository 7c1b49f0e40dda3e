import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import { builtins } from "../builtins.ts";
import { nearest, unknownKey } from "../config/check.ts";
import type { PackageManifest } from "./package-manifest.ts";
import { isObject, readManifest } from "./package-manifest.ts";

/** A folder whose package.json says which plugins a daemon has. */
export interface AppFolder {
  readonly directory: string;
  readonly manifest: PackageManifest;
  /** Names of the built-in packages that the daemon has besides its dependencies. */
  readonly builtins: readonly string[];
}

/**
 * The app folder of a command: the given one, or the current directory when its package.json has a `ctrd` object or
 * depends on `@ctrd/server`.
 *
 * @param given value of `--app`
 * @returns undefined when there is none
 * @throws ContainerdError `failed-precondition` when the given folder has no package.json, or the current directory
 * belongs to somebody else, whose code must not run by accident
 */
export async function findAppFolder(given: string | undefined): Promise<AppFolder | undefined> {
  if (given !== undefined) return readAppFolder(given);
  const directory = currentDirectory();
  const manifest = directory === undefined ? undefined : await readManifest(directory);
  if (directory === undefined || manifest === undefined || !isApp(manifest)) return undefined;
  await refuseForeign(directory);
  return { directory, manifest, builtins: chosenBuiltins(directory, manifest) };
}

/** Reads an app folder. @throws as {@link findAppFolder} */
export async function readAppFolder(path: string): Promise<AppFolder> {
  const directory = resolve(path);
  const manifest = await readManifest(directory);
  if (manifest === undefined) {
    throw failedPrecondition(
      `app folder ${directory} has no package.json; give a folder whose package.json depends on the plugins`,
    );
  }
  return { directory, manifest, builtins: chosenBuiltins(directory, manifest) };
}

function isApp(manifest: PackageManifest): boolean {
  if (isObject(manifest.ctrd)) return true;
  return isObject(manifest.dependencies) && Object.hasOwn(manifest.dependencies, "@ctrd/server");
}

function currentDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined; // it has been removed
    throw error;
  }
}

async function refuseForeign(directory: string): Promise<void> {
  const { uid } = await stat(join(directory, "package.json"));
  if (uid === 0 || uid === process.getuid?.()) return;
  throw failedPrecondition(
    `package.json in the current directory ${directory} belongs to user ${uid}; to run its plugins, give --app .`,
  );
}

/** The `ctrd.builtins` of an app: all of them (`true`, the default), none (`false`), or the listed ones. */
function chosenBuiltins(directory: string, manifest: PackageManifest): readonly string[] {
  const known = builtins.map(({ name }) => name);
  const field = isObject(manifest.ctrd) ? manifest.ctrd : {};
  const where = `"ctrd" of ${join(directory, "package.json")}`;
  const keys = ["builtins", "plugin", "api"];
  for (const key of Object.keys(field)) {
    if (!keys.includes(key)) throw invalidArgument(`${where}: ${unknownKey(key, keys)}`);
  }
  const chosen = field["builtins"] ?? true;
  if (typeof chosen === "boolean") return chosen ? known : [];
  if (!Array.isArray(chosen)) {
    throw invalidArgument(`${where}: "builtins" must be true, false or an array of package names`);
  }
  for (const name of chosen as readonly unknown[]) {
    if (typeof name === "string" && known.includes(name)) continue;
    const suggestion = nearest(String(name), known);
    const hint = suggestion === undefined ? `known are: ${known.join(", ")}` : `did you mean "${suggestion}"?`;
    throw invalidArgument(`${where}: "builtins" names ${JSON.stringify(name)}, which is not built in, ${hint}`);
  }
  return chosen as readonly string[];
}
