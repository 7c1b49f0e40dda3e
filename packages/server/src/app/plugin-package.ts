import type { AnyRegistration, PluginSource } from "@ctrd/core/plugin";

/** What a plugin package's `./plugin` entry exports. */
export interface PluginModule {
  // Registrations of any instance and configuration type; core's own alias cannot be inferred across modules.
  readonly default: AnyRegistration | readonly AnyRegistration[];
}

/** A package of plugins, loaded when the daemon is composed. */
export interface PluginPackage {
  readonly name: string;
  /** Where it is installed; found as Node finds packages when absent. */
  readonly source?: PluginSource;
  load(): Promise<PluginModule>;
}
