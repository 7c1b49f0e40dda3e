import { basename, extname, join, relative } from "node:path";
import type { BuildResult, OutputFile, Plugin } from "esbuild";
import { build } from "esbuild";
import { failedPrecondition } from "@ctrd/core/errors";
import { builtinModules } from "./builtin-modules.ts";
import { LocatedModules } from "./located-modules.ts";

/** Files of a bundle by their path in it: content, or the path of a file to copy. */
export type BundleFiles = ReadonlyMap<string, Uint8Array | { readonly copyOf: string }>;

/** Nothing is written there. */
const outdir = "/ctrd-bundle";

/** CommonJS packages require Node's modules; ES modules have no `require` of their own. */
const banner = `import{createRequire as ctrdCreateRequire}from"node:module";var require=ctrdCreateRequire(import.meta.url);`;

/**
 * Bundles code with everything that it imports, the worker threads that it starts, the files that it reads by its own
 * location, and the native packages that it loads.
 *
 * @param main specifier of the first module, which becomes `main.js`
 * @param directory paths in the bundle are relative to it: the same packages make the same bundle anywhere
 * @throws ContainerdError `failed-precondition` with esbuild's messages
 */
export async function bundle(main: string, plugins: readonly Plugin[], directory: string): Promise<BundleFiles> {
  const modules = new LocatedModules();
  for (;;) {
    const entries = new Map(modules.entries).set("main", main);
    const result = await runEsbuild(entries, [...plugins, builtinModules, modules.plugin], directory);
    // Modules that were met for the first time may start further workers.
    if ([...modules.entries.keys()].every((place) => entries.has(place))) return filesOf(result, modules, directory);
  }
}

async function runEsbuild(
  entries: ReadonlyMap<string, string>,
  plugins: Plugin[],
  directory: string,
): Promise<BuildResult<{ write: false; metafile: true }>> {
  try {
    return await build({
      entryPoints: [...entries].map(([place, file]) => ({ in: file, out: place })).toSorted(byPlace),
      ...{ bundle: true, splitting: true, format: "esm", platform: "node", target: `node${process.versions.node}` },
      ...{ outdir, chunkNames: "chunks/[hash]", absWorkingDir: directory, write: false, metafile: true },
      ...{ minifyWhitespace: true, minifySyntax: true, legalComments: "none", logLevel: "silent" },
      conditions: conditions(),
      // Failures on purpose are for tests.
      dropLabels: ["FAILPOINT"],
      banner: { js: banner },
      plugins,
    });
  } catch (error) {
    throw failedPrecondition(`bundle the packages: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Modules are met in any order. */
function byPlace(a: { readonly out: string }, b: { readonly out: string }): number {
  return a.out < b.out ? -1 : 1;
}

/** The conditions that this process imports packages with, besides the usual ones. */
function conditions(): string[] {
  const own = process.execArgv.filter((flag) => flag.startsWith("--conditions=")).map((flag) => flag.slice(13));
  return [...own, "module-sync"];
}

function filesOf(
  result: BuildResult<{ write: false; metafile: true }>,
  modules: LocatedModules,
  directory: string,
): BundleFiles {
  const outputs = result.outputFiles.map((file): [string, OutputFile] => [file.path.slice(outdir.length + 1), file]);
  const files = new Map<string, Uint8Array | { copyOf: string }>();
  for (const [place, copyOf] of [...modules.files, ...modules.copied.files]) files.set(place, { copyOf });
  for (const [place, { contents }] of outputs) files.set(place, contents);
  for (const [place, file] of modules.entries) {
    const extension = extname(file);
    if (extension !== ".mjs" && extension !== ".cjs") continue;
    const output = relative(directory, join(outdir, `${place}.js`));
    const { exports = [] } = result.metafile.outputs[output] ?? {};
    files.set(place + extension, aliasOf(place, extension, exports.includes("default")));
  }
  return files;
}

/** An entry whose name does not end in .js is known by that name as well. */
function aliasOf(place: string, extension: ".mjs" | ".cjs", hasDefault: boolean): Uint8Array {
  const file = JSON.stringify(`./${basename(place)}.js`);
  if (extension === ".cjs") return Buffer.from(`module.exports = require(${file});`);
  return Buffer.from(`export * from ${file};${hasDefault ? `export { default } from ${file};` : ""}`);
}
