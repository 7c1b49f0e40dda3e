/**
 * The layer table of docs/architecture.md, and the check of one import against it.
 */

export type Layer = "core" | "lib" | "testkit" | "plugin" | "app";

const libraries = new Set([
  "api",
  "ttrpc",
  "sys",
  "archive",
  "storage",
  "services",
  "images",
  "registry",
  "oci",
  "client",
  "cni",
]);
const apps = new Set(["server", "build", "cli", "create-ctrd-plugin"]);

/** Layer of a package folder. What is in no list is a plugin: most packages are. */
export function layerOf(folder: string): Layer {
  if (folder === "core" || folder === "testkit") return folder;
  if (libraries.has(folder)) return "lib";
  return apps.has(folder) ? "app" : "plugin";
}

const mayImport: Record<Layer, readonly Layer[]> = {
  core: [],
  lib: ["core", "lib"],
  testkit: ["core", "lib"],
  plugin: ["core", "lib"],
  app: ["core", "lib", "plugin", "app"],
};

/** Why the package `from` must not import the package `to`, or undefined when it may. */
export function forbiddenImport(from: string, to: string, isTest: boolean): string | undefined {
  if (from === to) return undefined;
  if (isTest && to === "testkit") return undefined;
  const [source, target] = [layerOf(from), layerOf(to)];
  if (mayImport[source].includes(target)) return undefined;
  return `${source} package "${from}" must not import ${target} package "${to}" (${source} may import: ${mayImport[source].join(", ") || "nothing"})`;
}

/**
 * Files that may import what is not a literal, which the table cannot be checked against. Apps load the packages that
 * they are told to. Of the others only one may: testkit starts the server, an optional peer dependency
 * (docs/adr/0008-testkit-starts-the-server.md).
 */
export function mayComputeImports(folder: string, file: string): boolean {
  return layerOf(folder) === "app" || file === "packages/testkit/src/daemon/load-server.ts";
}

/** Line numbers of dynamic imports whose module is not a literal. A method of that name is none. */
export function computedImportsOf(source: string): number[] {
  return [...source.matchAll(/(?<!\.)\bimport\(\s*(?!["')]|\$\{|\w+\??:)/g)].map(
    (match) => source.slice(0, match.index).split("\n").length,
  );
}

/** Module specifiers that a source text imports, re-exports or loads dynamically, with their line numbers. */
export function importsOf(source: string): { specifier: string; line: number }[] {
  const pattern =
    /^\s*(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm;
  return [...source.matchAll(pattern)].map((match) => ({
    specifier: match[1] ?? match[2] ?? match[3] ?? "",
    line: source.slice(0, match.index).split("\n").length,
  }));
}
