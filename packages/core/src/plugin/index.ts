/**
 * The plugin contract: what a package exports so that a daemon can be composed from it.
 *
 * ```ts
 * const mine: Registration<Snapshotter, MyConfig> = {
 *   type: SnapshotPlugin,
 *   id: "mine",
 *   config: myConfig,
 *   async initFn(ic) { return openMySnapshotter(ic.root, ic.config); },
 * };
 * export default mine;
 * ```
 *
 * @module
 */
export type {
  AnyRegistration,
  DaemonInfo,
  InitContext,
  PluginMeta,
  PluginRef,
  PluginRequirement,
  PluginSource,
  PluginState,
  PluginStatus,
  PluginType,
  Registration,
  Requirement,
} from "./contract.ts";
export { optional, pluginApi, pluginRef, pluginType, pluginUri, SkipPlugin } from "./contract.ts";
export type { LoadedPlugin, PluginOrder, PluginProblem } from "./graph.ts";
export { describeSource, orderPlugins, requirementsOf } from "./graph.ts";
export type { InitPluginsOptions, PluginSet } from "./lifecycle.ts";
export type { PluginReload } from "./reload.ts";
export { initPlugins } from "./lifecycle.ts";
