/**
 * The ctrd daemon as a library: compose plugins and a configuration, start, stop.
 *
 * ```ts
 * import { builtins, loadPackages, startDaemon } from "@ctrd/server";
 * import mine from "my-snapshotter/plugin";
 *
 * const daemon = await startDaemon({
 *   plugins: [...(await loadPackages(builtins)), mine],
 *   config: { root: "/var/lib/mine", state: "/run/mine" },
 * });
 * ```
 *
 * @module
 */
export type { PluginModule, PluginPackage } from "./builtins.ts";
export { builtins, loadPackages } from "./builtins.ts";
export type { ConfigOverrides, DaemonConfig, DaemonTable } from "./config/index.ts";
export type { ComposeOptions, Daemon, PluginList } from "./daemon.ts";
export { composeDaemon, startDaemon } from "./daemon.ts";
export type { DaemonLogger, LoggerOptions } from "./log.ts";
export { createLogger } from "./log.ts";
export { version } from "./version.ts";
