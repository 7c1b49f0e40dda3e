import { resolve } from "node:path";
import { isSea } from "node:sea";
import { pathToFileURL } from "node:url";
import { failedPrecondition } from "@ctrd/core/errors";
import { serverDirectory } from "../app/core-copies.ts";
import { exportedFile, importConditions } from "../app/package-exports.ts";
import { findPackage } from "../app/package-manifest.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./arguments.ts";

/** What is used of `@ctrd/build`, which is no dependency: only who builds executables needs a bundler. */
interface Builder {
  buildBinary(options: { readonly app: string; readonly output: string }): Promise<{
    readonly path: string;
    readonly size: number;
    readonly packages: readonly string[];
  }>;
}

const builderName = "@ctrd/build";

/** Runs `ctrd build`: makes one executable of an app folder. */
export async function build(options: Arguments): Promise<void> {
  if (options.output === undefined) throw new UsageError("build needs --output FILE");
  if (isSea()) {
    throw failedPrecondition(
      `${process.execPath} is a single executable and cannot make another; use the ctrd of the npm package @ctrd/server`,
    );
  }
  const app = resolve(options.app ?? ".");
  const { buildBinary } = await loadBuilder(app);
  const { path, size, packages } = await buildBinary({ app, output: options.output });
  process.stdout.write(`${path}: ${Math.ceil(size / 1024 / 1024)} MiB with ${packages.join(", ")}\n`);
}

/** The app's own builder belongs to the app's own server. */
async function loadBuilder(app: string): Promise<Builder> {
  const installed = (await findPackage(app, builderName)) ?? (await findPackage(serverDirectory, builderName));
  const entry = installed === undefined ? undefined : exportedFile(installed.manifest, ".", importConditions());
  if (installed === undefined || entry === undefined) {
    throw failedPrecondition(
      `building an executable needs the package ${builderName}; run "npm install --save-dev ${builderName}" in ${app}`,
    );
  }
  return (await import(pathToFileURL(resolve(installed.directory, entry)).href)) as Builder;
}
