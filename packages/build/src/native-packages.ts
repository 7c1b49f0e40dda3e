/**
 * Packages with native code are not bundled: their loaders look for files around themselves. They go into the bundle's
 * `node_modules` as they are, with what they depend on.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { failedPrecondition } from "@ctrd/core/errors";
import { isElf } from "./elf.ts";
import type { Package } from "./package-places.ts";
import { findPackage, namesIn } from "./package-places.ts";

/** Sources and texts of which packages with native code are full, and which nothing reads at run time. */
const uselessFile =
  /\.(?:[cm]?ts|map|md|c|cc|cpp|h|hh|hpp|inc|def|s|asm|o|a|gypi?|cmake|doc|sh|png|vcxproj|sln|css|html)$|^(?:CMakeLists\.txt|Makefile|Doxyfile|CHANGES)$/i;
const uselessDirectories = new Set(["node_modules", "test", "tests", "benchmark", "benchmarks", "docs", "examples"]);

const isNativeMemo = new Map<string, boolean>();

/** Whether a package has native code, or can load a package that has. */
export function isNative(one: Package): boolean {
  const known = isNativeMemo.get(one.directory);
  if (known !== undefined) return known;
  isNativeMemo.set(one.directory, false); // ends a cycle of dependencies
  const native =
    existsSync(join(one.directory, "binding.gyp")) ||
    one.manifest["gypfile"] === true ||
    filesOf(one.directory).some((file) => file.endsWith(".node")) ||
    namesIn(one.manifest["optionalDependencies"]).some((name) => {
      const dependency = findPackage(one.directory, name);
      return dependency !== undefined && isNative(dependency);
    });
  isNativeMemo.set(one.directory, native);
  return native;
}

/** Whether a package uses ctrd's core: then it must be bundled, for there may be one core only. */
export function usesCore({ name, manifest }: Package): boolean {
  if (name.startsWith("@ctrd/")) return true;
  return [manifest["dependencies"], manifest["peerDependencies"]].some((field) =>
    namesIn(field).some((dependency) => dependency.startsWith("@ctrd/")),
  );
}

/** The native modules of a package that the Node of this process can load. */
export function nativeFilesOf(one: Package): string[] {
  return filesOf(one.directory).filter((file) => file.endsWith(".node") && isLoadable(file));
}

/** Packages that are copied, with their files by their place in the bundle. */
export class CopiedPackages {
  readonly #directories = new Map<string, string>();
  readonly files: Map<string, string> = new Map();

  /** Copies a package and its dependencies. @throws ContainerdError when the bundle imports another version of it */
  add(one: Package): void {
    this.#copy(one, join("node_modules", one.name));
  }

  #copy(one: Package, place: string): void {
    const there = this.#directories.get(place);
    if (there === one.directory) return;
    if (there !== undefined) {
      throw failedPrecondition(
        `two copies of the native package ${one.name}: ${there} and ${one.directory}; run "npm dedupe"`,
      );
    }
    this.#directories.set(place, one.directory);
    for (const file of filesOf(one.directory)) {
      if (isUseful(file)) this.files.set(join(place, relative(one.directory, file)), file);
    }
    const { dependencies, optionalDependencies, peerDependencies } = one.manifest;
    for (const name of [dependencies, optionalDependencies, peerDependencies].flatMap(namesIn)) {
      const dependency = findPackage(one.directory, name);
      if (dependency !== undefined) this.#copy(dependency, this.#placeOfDependency(dependency, place));
    }
  }

  /** At the top, unless another version is there. */
  #placeOfDependency(dependency: Package, dependent: string): string {
    const top = join("node_modules", dependency.name);
    const there = this.#directories.get(top);
    return there === undefined || there === dependency.directory ? top : join(dependent, top);
  }
}

/** The files of a package, without those of packages inside it. */
function filesOf(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.name.startsWith(".") || uselessDirectories.has(entry.name)) return [];
    if (entry.isDirectory()) return filesOf(path);
    return entry.isFile() ? [path] : [];
  });
}

function isUseful(file: string): boolean {
  return file.endsWith(".node") ? isLoadable(file) : !uselessFile.test(basename(file));
}

/** Whether a native module is for this platform, this C library and this Node. */
function isLoadable(file: string): boolean {
  const abi = /\babi(\d+)\b/.exec(basename(file))?.[1];
  if (abi !== undefined && abi !== process.versions.modules) return false;
  const content = readFileSync(file);
  // Names of the C library as glibc has it, and as musl has it.
  const [glibc, musl] = [
    content.includes("\0libc.so.6\0"),
    /\0libc\.(?:so|musl-\w+\.so\.1)\0/.test(content.toString("latin1")),
  ];
  return isElf(content, process.arch) && (isGlibc() ? !musl : !glibc);
}

let glibcVersion: string | undefined;

function isGlibc(): boolean {
  const report = process.report.getReport() as { readonly header: { readonly glibcVersionRuntime?: string } };
  glibcVersion ??= report.header.glibcVersionRuntime ?? "";
  return glibcVersion !== "";
}
