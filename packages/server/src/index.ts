/**
 * The ctrd daemon as a library: compose plugins and a configuration, start, stop.
 *
 * ```ts
 * import { builtins, startDaemon } from "@ctrd/server";
 * import mine from "my-snapshotter/plugin";
 *
 * const daemon = await startDaemon({
 *   plugins: [...builtins, mine],
 *   config: { root: "/var/lib/mine", state: "/run/mine" },
 * });
 * ```
 *
 * @module
 */
export type { AppPackage, Discovery, PassedOver } from "./app/discover.ts";
export { discoverPlugins } from "./app/discover.ts";
export type { LoadedApp } from "./app/load-app.ts";
export { loadApp, packagesOf } from "./app/load-app.ts";
export { loadPackages } from "./app/load-packages.ts";
export type { PluginList } from "./app/plugin-list.ts";
export { defaultPlugins } from "./app/plugin-list.ts";
export type { PluginModule, PluginPackage } from "./app/plugin-package.ts";
export { builtins } from "./builtins.ts";
export type { ConfigOverrides, DaemonConfig, DaemonTable } from "./config/index.ts";
export type { ComposeOptions, Daemon } from "./daemon.ts";
export { composeDaemon, startDaemon } from "./daemon.ts";
export type { DaemonLogger, LoggerOptions } from "./log.ts";
export { createLogger } from "./log.ts";
export { version } from "./version.ts";
