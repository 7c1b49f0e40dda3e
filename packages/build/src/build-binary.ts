import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { loadApp } from "@ctrd/server";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import type { BundleFiles } from "./bundle.ts";
import { bundle } from "./bundle.ts";
import { compositionPlugin } from "./composition.ts";
import { writeExecutable } from "./executable.ts";
import type { PackedFile } from "./launcher/index-of-files.ts";
import { indexAsset } from "./launcher/index-of-files.ts";

/** Options of {@link buildBinary}. */
export interface BuildOptions {
  /** Folder whose package.json says which plugins the daemon has. */
  readonly app: string;
  /** File to write. */
  readonly output: string;
}

/** What {@link buildBinary} has made. */
export interface BuiltBinary {
  /** Absolute path. */
  readonly path: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Names of the plugin packages in it. */
  readonly packages: readonly string[];
}

/**
 * Makes one executable of the `ctrd` of an app folder: this process's Node, the daemon, and exactly the plugins that the
 * app has. It needs nothing else but the C library.
 *
 * @throws ContainerdError when the app's plugins cannot be loaded, cannot be bundled, or the file cannot be written
 */
export async function buildBinary({ app, output }: BuildOptions): Promise<BuiltBinary> {
  const { app: discovery, plugins } = await loadApp(resolve(app));
  if (discovery === undefined) throw failedPrecondition(`${app} is no app folder`);
  const path = resolve(output);
  const directory = await mkdtemp(join(tmpdir(), "ctrd-build-"));
  try {
    const files = await bundle("ctrd-main", [compositionPlugin(discovery)], discovery.directory);
    const assets = await writeAssets(files, join(directory, "files"));
    const main = join(directory, "launcher.cjs");
    await writeFile(main, await bundleLauncher());
    await mkdir(dirname(path), { recursive: true });
    await writeExecutable(path, { main, assets }, (executable) => tryExecutable(executable, directory));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const packages = new Set(plugins.flatMap(({ source }) => (source === undefined ? [] : [source.name])));
  return { path, size: (await stat(path)).size, packages: [...packages] };
}

/** Starts an executable far enough to load every plugin in it. */
async function tryExecutable(executable: string, cache: string): Promise<void> {
  try {
    await promisify(execFile)(executable, ["config", "default"], { env: { XDG_CACHE_HOME: cache }, cwd: cache });
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    throw failedPrecondition(`it cannot load its plugins: ${stderr?.trim() || messageOf(error)}`, { cause: error });
  }
}

/** What a bundle has besides its own files. */
const fixedFiles: BundleFiles = new Map([
  ["package.json", Buffer.from(`{"type":"module"}`)],
  // Loaded by `require`, which an executable's script can use; `import` it cannot.
  ["start.cjs", Buffer.from(`import("./main.js").then((main) => main.start());`)],
]);

/** Writes the files of a bundle, and a list of them with their hashes. @returns paths of the files by asset name */
async function writeAssets(bundled: BundleFiles, directory: string): Promise<Record<string, string>> {
  const assets: Record<string, string> = {};
  const index: PackedFile[] = [];
  for (const [place, source] of [...bundled, ...fixedFiles].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const content = "copyOf" in source ? await contentOf(source.copyOf, place) : source;
    const file = join(directory, place);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    assets[place] = file;
    index.push({ path: place, size: content.length, sha256: hash("sha256", content) });
  }
  assets[indexAsset] = join(directory, indexAsset);
  await writeFile(assets[indexAsset], JSON.stringify(index));
  return assets;
}

/** Around bundled code, everything is an ES module, whatever its package was. */
async function contentOf(file: string, place: string): Promise<Uint8Array> {
  const content = await readFile(file);
  if (!/^packages\/.*package\.json$/.test(place)) return content;
  return Buffer.from(JSON.stringify({ ...(JSON.parse(content.toString()) as object), type: "module" }));
}

async function bundleLauncher(): Promise<Uint8Array> {
  const entry = fileURLToPath(new URL(`./launcher/main${extname(import.meta.filename)}`, import.meta.url));
  const options = { bundle: true, format: "cjs", platform: "node", write: false } as const;
  const { outputFiles } = await build({ entryPoints: [entry], ...options });
  return outputFiles[0]?.contents ?? new Uint8Array();
}
