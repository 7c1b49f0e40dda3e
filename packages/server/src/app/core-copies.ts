import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { failedPrecondition } from "@ctrd/core/errors";
import type { PluginSource } from "@ctrd/core/plugin";
import { describeSource } from "@ctrd/core/plugin";
import { version } from "../version.ts";
import type { InstalledPackage } from "./package-manifest.ts";
import { findPackage, versionOf } from "./package-manifest.ts";

/** This package: the file is in its `src/app` or `dist/app`. */
export const serverDirectory: string = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

const coreName = "@ctrd/core";

let serverCore: Promise<InstalledPackage | undefined> | undefined;

/**
 * Refuses a plugin package that would use another copy of @ctrd/core than the daemon: the errors that it throws would
 * not be those that the daemon knows.
 *
 * @param app folder that the package is a dependency of; undefined for a built-in one
 * @throws ContainerdError `failed-precondition`: both versions and directories, and what to do
 */
export async function checkCoreCopy(source: PluginSource, app: string | undefined): Promise<void> {
  if (source.directory === undefined) return;
  serverCore ??= findPackage(serverDirectory, coreName);
  const [ours, theirs] = await Promise.all([serverCore, findPackage(source.directory, coreName)]);
  // An executable of one file has no packages around it; a plugin without imports needs no core.
  if (ours === undefined || theirs === undefined || ours.directory === theirs.directory) return;
  throw failedPrecondition(
    `two copies of ${coreName}: ${describeSource(source)} in ${source.directory} uses ${describeCopy(theirs)}, ` +
      `@ctrd/server@${version} uses ${describeCopy(ours)}; ${await remedyFor(source, theirs, app)}`,
  );
}

function describeCopy({ directory, manifest }: InstalledPackage): string {
  return `${versionOf(manifest)} in ${directory}`;
}

async function remedyFor(source: PluginSource, theirs: InstalledPackage, app: string | undefined): Promise<string> {
  if (app === undefined) return `reinstall @ctrd/server, or run "npm dedupe" where it is installed`;
  const [appServer, appCore] = await Promise.all([findPackage(app, "@ctrd/server"), findPackage(app, coreName)]);
  // A ctrd from elsewhere runs an app that has a core of its own.
  if (appServer !== undefined && appServer.directory !== serverDirectory) {
    return `run the app's own ctrd: ${join(app, "node_modules/.bin/ctrd")}`;
  }
  if (appServer === undefined && appCore?.directory === theirs.directory) {
    return `run "npm install @ctrd/server" in ${app}, then ${join(app, "node_modules/.bin/ctrd")}`;
  }
  // A link to a folder under development, which has its own node_modules.
  if (source.directory?.includes("/node_modules/") === false) {
    return `install a copy instead of a link: run "npm install --install-links ${source.directory}" in ${app}`;
  }
  return `run "npm dedupe" in ${app}; ${source.name} must have ${coreName} in its "peerDependencies" only`;
}
