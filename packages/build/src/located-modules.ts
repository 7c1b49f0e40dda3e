/**
 * Keeps `import.meta.url`, `__dirname` and their like true in a bundle: each module gets the location that it has in a
 * tree of packages which the bundle unpacks to, and the files that it reaches from there are put into that tree.
 *
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, resolve } from "node:path";
import type { Loader, Plugin, PluginBuild } from "esbuild";
import { transform } from "esbuild";
import { referencesOf, usesLocation } from "./file-references.ts";
import { bundleDirectory } from "./launcher/index-of-files.ts";
import { CopiedPackages, isNative, nativeFilesOf, usesCore } from "./native-packages.ts";
import type { Package } from "./package-places.ts";
import { findPackage, packageNameOf, PackagePlaces } from "./package-places.ts";

const isCode = (file: string): boolean => /(?<!\.d)\.[cm]?[jt]s$/.test(file);

/** Expressions that a module learns its location from, and what stands for them. */
const replacements = {
  "import.meta.url": "__ctrd_here.url",
  "import.meta.filename": "__ctrd_here.filename",
  "import.meta.dirname": "__ctrd_here.dirname",
  "import.meta.resolve": "__ctrd_here.resolve",
  __filename: "__ctrd_here.filename",
  __dirname: "__ctrd_here.dirname",
};

/** The root of the unpacked tree, found from wherever the bundler has put this module. */
const rootModule = `import { fileURLToPath } from "node:url";
const end = import.meta.url.lastIndexOf("/${bundleDirectory}/") + ${bundleDirectory.length + 2};
export const rootUrl = import.meta.url.slice(0, end);
export const root = fileURLToPath(rootUrl);`;

/** What modules reach by their location. It grows while esbuild runs. */
export class LocatedModules {
  /** Code that is started on its own, by its place without the extension. */
  readonly entries: Map<string, string> = new Map();
  /** Files that are copied, by their place. */
  readonly files: Map<string, string> = new Map();
  readonly copied: CopiedPackages = new CopiedPackages();
  readonly #places = new PackagePlaces();

  get plugin(): Plugin {
    return { name: "ctrd-located-modules", setup: (build) => this.#setup(build) };
  }

  #setup(build: PluginBuild): void {
    build.onResolve({ filter: /^ctrd-(?:here:|root$)/ }, ({ path }) => ({ path, namespace: "ctrd-location" }));
    build.onLoad({ filter: /.*/, namespace: "ctrd-location" }, ({ path }) => ({ contents: locationModule(path) }));
    build.onResolve({ filter: /^ctrd-required:/ }, ({ path }) => ({ path, namespace: "ctrd-required" }));
    build.onLoad({ filter: /.*/, namespace: "ctrd-required" }, ({ path }) => ({
      ...{ contents: requiredModule(path.slice("ctrd-required:".length)), resolveDir: "/" },
    }));
    build.onResolve({ filter: /^[^./]/ }, ({ path, resolveDir, kind }) => {
      if (kind === "entry-point" || resolveDir === "") return undefined;
      const found = findPackage(resolveDir, packageNameOf(path));
      if (found === undefined || usesCore(found) || !isNative(found)) return undefined;
      this.copied.add(found);
      return { path, external: true };
    });
    build.onLoad({ filter: /\.[cm]?[jt]s$/, namespace: "file" }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      if (!usesLocation(source)) return undefined;
      return { contents: await this.#locate(path, source), loader: "js" as const };
    });
  }

  async #locate(path: string, source: string): Promise<string> {
    const loader: Loader = /\.[cm]?ts$/.test(path) ? "ts" : "js";
    const plain = (await transform(source, { loader, target: "esnext" })).code;
    this.#follow(path, plain);
    const { code } = await transform(plain, { define: replacements, target: "esnext" });
    const specifier = JSON.stringify(`ctrd-here:${this.#placeOf(path)}`);
    if (this.#isModule(path, plain)) return `import * as __ctrd_here from ${specifier};${code}`;
    return `const __ctrd_here = require(${specifier});${code}`;
  }

  #follow(path: string, source: string): void {
    const { paths, required } = referencesOf(source);
    const owner = this.#places.packageOf(path);
    if (owner !== undefined && usesCore(owner)) this.#addNativeFiles(owner);
    for (const name of required) {
      if (name.startsWith(".")) this.#addFile(resolve(dirname(path), name));
      else if (!isBuiltin(name)) this.#addRequired(path, packageNameOf(name));
    }
    for (const one of paths) this.#addFile(resolve(dirname(path), one));
  }

  #addNativeFiles(owner: Package): void {
    for (const file of nativeFilesOf(owner)) this.files.set(this.#placeOf(file), file);
  }

  #addRequired(path: string, name: string): void {
    const found = findPackage(dirname(path), name);
    // What is not installed is optional, or the module knows what to do without.
    if (found !== undefined) this.copied.add(found);
  }

  #addFile(path: string): void {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return;
    const place = this.#placeOf(path);
    if (isCode(path)) this.entries.set(place.slice(0, -extname(place).length), this.#entryOf(path));
    else if (!path.endsWith(".node")) this.files.set(place, path);
  }

  /** What esbuild starts from, so that it makes a module of it that can be imported, required, or run by a thread. */
  #entryOf(path: string): string {
    const isModule = this.#isModule(path, readFileSync(path, "utf8"));
    return isModule ? path : `ctrd-required:${path}`;
  }

  /** Code has the place of the JavaScript that it becomes. */
  #placeOf(path: string): string {
    const place = this.#places.placeOf(path);
    return isCode(path) ? `${place.slice(0, -extname(place).length)}.js` : place;
  }

  #isModule(path: string, source: string): boolean {
    if (/\.m[jt]s$/.test(path) || /\bimport\.meta\b/.test(source)) return true;
    if (/\.c[jt]s$/.test(path)) return false;
    for (let directory = dirname(path); ; directory = dirname(directory)) {
      const type = typeIn(directory);
      if (type !== undefined) return type === "module";
      if (dirname(directory) === directory) return false;
    }
  }
}

/** The `type` of a directory's package.json: `commonjs` when it names none; undefined without one. */
function typeIn(directory: string): unknown {
  try {
    const manifest = JSON.parse(readFileSync(resolve(directory, "package.json"), "utf8")) as { type?: unknown };
    return manifest.type ?? "commonjs";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** An ES module that `require` makes of a CommonJS module what it was. */
function requiredModule(path: string): string {
  // esbuild prints a wrong name when an import is exported under a name that is no identifier.
  return `import imported from ${JSON.stringify(path)};
const value = imported;
export { value as default, value as "module.exports" };`;
}

/** A module that tells the module which imports it where it is. */
function locationModule(name: string): string {
  if (name === "ctrd-root") return rootModule;
  const place = name.slice("ctrd-here:".length);
  return `import { root, rootUrl } from "ctrd-root";
export const url = rootUrl + ${JSON.stringify(encodeURI(place))};
export const filename = root + ${JSON.stringify(place)};
export const dirname = root + ${JSON.stringify(dirname(place))};
export const resolve = (name) => /^\\.{1,2}\\//.test(name) ? new URL(name, url).href : import.meta.resolve(name);`;
}
