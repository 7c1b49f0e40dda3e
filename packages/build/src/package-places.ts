import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

/** An installed package, as far as bundling needs it. */
export interface Package {
  readonly directory: string;
  readonly name: string;
  readonly manifest: Readonly<Record<string, unknown>>;
}

/** Finds the package that a file is in: the nearest package.json with a name above it. */
export class PackagePlaces {
  readonly #packages = new Map<string, Package | undefined>();
  readonly #places = new Map<string, string>();

  /** @returns undefined when the file is in no package */
  packageOf(file: string): Package | undefined {
    return this.#packageAt(dirname(file));
  }

  /** Where a file has its place in a bundle: `packages/<name>@<version>/<path in the package>`. */
  placeOf(file: string): string {
    const owner = this.packageOf(file);
    const directory = owner?.directory ?? dirname(file);
    const version = owner?.manifest["version"];
    const name = (owner?.name ?? "app") + (typeof version === "string" ? `@${version}` : "");
    return join(this.#placeOfPackage(directory, name), relative(directory, file));
  }

  /** Copies of one version have places of their own. */
  #placeOfPackage(directory: string, name: string): string {
    const known = this.#places.get(directory);
    if (known !== undefined) return known;
    const taken = new Set(this.#places.values());
    let place = `packages/${name}`;
    for (let number = 2; taken.has(place); number++) place = `packages/${name}~${number}`;
    this.#places.set(directory, place);
    return place;
  }

  #packageAt(directory: string): Package | undefined {
    if (this.#packages.has(directory)) return this.#packages.get(directory);
    const manifest = readManifest(directory);
    const parent = dirname(directory);
    const found =
      typeof manifest?.["name"] === "string"
        ? { directory, name: manifest["name"], manifest }
        : parent === directory
          ? undefined
          : this.#packageAt(parent);
    this.#packages.set(directory, found);
    return found;
  }
}

/** The package.json of a directory; undefined when it has none. */
export function readManifest(directory: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Record<string, unknown>;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Finds an installed package as Node does: in the `node_modules` of `from` and of every directory above it. */
export function findPackage(from: string, name: string): Package | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", name);
    const manifest = basename(directory) === "node_modules" ? undefined : readManifest(candidate);
    if (manifest !== undefined) return { directory: realpathSync(candidate), name, manifest };
    if (dirname(directory) === directory) return undefined;
  }
}

/** Name of the package that an import names: `@scope/name/file` is of `@scope/name`. */
export function packageNameOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Keys of a field of a package.json that should be an object. */
export function namesIn(field: unknown): string[] {
  return typeof field === "object" && field !== null ? Object.keys(field) : [];
}
