/**
 * The script inside an executable: unpacks what it carries, and runs that. It is bundled into one CommonJS file, which is
 * all that Node runs from within an executable; worker threads and native modules need files.
 *
 * @module
 */
import nodeModule from "node:module";
import { join } from "node:path";
import { getAsset, getRawAsset } from "node:sea";
import { bundleDirectory, indexAsset } from "./index-of-files.ts";
import { cacheDirectories } from "./private-directory.ts";
import { unpack } from "./unpack.ts";

function launch(): void {
  const uid = process.geteuid?.() ?? 0;
  const cargo = {
    index: getAsset(indexAsset, "utf8"),
    read: (path: string) => new Uint8Array(getRawAsset(path) as ArrayBuffer),
  };
  const directory = unpack(cargo, cacheDirectories(process.env, uid), uid);
  nodeModule.enableCompileCache(join(directory, "compile-cache"));
  nodeModule.createRequire(join(directory, bundleDirectory, "start.cjs"))("./start.cjs");
}

try {
  launch();
} catch (error) {
  process.stderr.write(`ctrd: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
