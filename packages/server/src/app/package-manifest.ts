import { readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument, messageOf } from "@ctrd/core/errors";

/** What ctrd reads of a package.json. Nothing of it has been checked but that it is an object. */
export interface PackageManifest {
  readonly name?: unknown;
  readonly version?: unknown;
  readonly keywords?: unknown;
  readonly exports?: unknown;
  readonly dependencies?: unknown;
  readonly optionalDependencies?: unknown;
  readonly ctrd?: unknown;
}

/** An installed package. */
export interface InstalledPackage {
  /** Where its files are, symbolic links followed. */
  readonly directory: string;
  readonly manifest: PackageManifest;
}

/**
 * Reads the package.json of a directory.
 *
 * @returns undefined when there is none
 * @throws ContainerdError `failed-precondition` when it cannot be read, `invalid-argument` when it is not a JSON object
 */
export async function readManifest(directory: string): Promise<PackageManifest | undefined> {
  const path = join(directory, "package.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw failedPrecondition(`read ${path}: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidArgument(`${path} is not JSON: ${messageOf(error)}`, { cause: error });
  }
  if (!isObject(value)) throw invalidArgument(`${path} is not a JSON object`);
  return value;
}

/** Finds an installed package as Node does: in the `node_modules` of `from` and of every directory above it. */
export async function findPackage(from: string, name: string): Promise<InstalledPackage | undefined> {
  for (let directory = from; ; directory = dirname(directory)) {
    if (basename(directory) !== "node_modules") {
      const candidate = join(directory, "node_modules", name);
      const manifest = await readManifest(candidate);
      if (manifest !== undefined) return { directory: await realpath(candidate), manifest };
    }
    if (dirname(directory) === directory) return undefined;
  }
}

/** A package's version, or `0.0.0` when it has none, as npm takes it. */
export function versionOf(manifest: PackageManifest): string {
  return typeof manifest.version === "string" ? manifest.version : "0.0.0";
}

/** Whether a value of a package.json is an object, and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
