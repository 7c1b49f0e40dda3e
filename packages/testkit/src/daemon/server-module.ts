/**
 * What is used of `@ctrd/server`, in the words of core: types of the package itself would make a project reference from
 * testkit to the server, whose tests use testkit.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { AnyRegistration, PluginRef, PluginStatus, PluginType } from "@ctrd/core/plugin";

/** A package of plugins, as the server's `builtins` lists them. */
export interface PluginPackageEntry {
  readonly name: string;
  // Registrations of any instance and configuration type; core's own alias cannot be inferred across modules.
  load(): Promise<{ readonly default: AnyRegistration | readonly AnyRegistration[] }>;
}

/** A plugin as a test gives it: the `default` export of a plugin entry, or a package. */
export type PluginEntry = AnyRegistration | readonly AnyRegistration[] | PluginPackageEntry;

/** The server's daemon; with the types of `@ctrd/server` it is its `Daemon`. */
export interface ComposedDaemon {
  readonly config: { readonly address: string };
  readonly plugins: readonly PluginStatus[];
  find<T>(ref: PluginRef<T>): T | undefined;
  getAll<T>(type: PluginType<T>): T[];
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The exports of `@ctrd/server` that testkit uses. */
export interface ServerModule {
  readonly builtins: readonly PluginPackageEntry[];
  composeDaemon(options: {
    readonly plugins: readonly PluginEntry[];
    readonly config: Readonly<Record<string, unknown>>;
    readonly log: Logger;
  }): Promise<ComposedDaemon>;
}
