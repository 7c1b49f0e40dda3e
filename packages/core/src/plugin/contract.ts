import type { ConfigSchema } from "../config/index.ts";
import type { StreamProcessor } from "../diff.ts";
import type { Logger } from "../log.ts";
import type { Platform } from "../records.ts";

/** Version of this contract. A plugin package names the one it is written for in its manifest: `"ctrd": {"api": 1}`. */
export const pluginApi = 1;

/** A typed plugin type: plugins of this type have instances of `T`. Two tokens of one name are the same type. */
export interface PluginType<out T> {
  /** containerd's name of the type, for example `io.containerd.snapshotter.v1`. */
  readonly name: string;
  /** Never set; carries `T` for the compiler. */
  readonly instance?: T;
}

/** One plugin of a type, for types whose plugins have different interfaces (`io.containerd.service.v1`). */
export interface PluginRef<out T> {
  readonly type: PluginType<T>;
  readonly id: string;
}

/** What a plugin requires: every plugin of a type, one plugin, or either without insisting that it exists. */
export type Requirement =
  | PluginType<unknown>
  | PluginRef<unknown>
  | { readonly optional: PluginType<unknown> | PluginRef<unknown> };

/** Makes a plugin type token. */
export function pluginType<T>(name: string): PluginType<T> {
  return { name };
}

/** Makes a reference to one plugin. */
export function pluginRef<T>(type: PluginType<unknown>, id: string): PluginRef<T> {
  return { type: type as PluginType<T>, id };
}

/** A requirement that may be absent, skipped or failed; it still orders initialisation. */
export function optional(requirement: PluginType<unknown> | PluginRef<unknown>): Requirement {
  return { optional: requirement };
}

/** The name of a plugin in configuration files and messages: `<type>.<id>`. */
export function pluginUri(plugin: { type: { name: string }; id: string }): string {
  return `${plugin.type.name}.${plugin.id}`;
}

/** Thrown by `initFn` to decline: the plugin shows as skipped with the reason and what to do about it. */
export class SkipPlugin extends Error {
  override readonly name: string = "SkipPlugin";
  readonly reason: string;
  readonly remedy: string;

  constructor(reason: string, remedy: string) {
    super(`skip plugin: ${reason} (${remedy})`);
    this.reason = reason;
    this.remedy = remedy;
  }
}

/** A plugin: a value. Importing the module that exports it has no side effect. */
export interface Registration<T = unknown, C = undefined> {
  readonly type: PluginType<T>;
  readonly id: string;
  /** Types and plugins that `initFn` may ask for; they are initialised before. */
  readonly requires?: readonly Requirement[];
  /** Schema of the plugin's TOML table `[plugins."<type>.<id>"]`; defaults come from it. */
  readonly config?: ConfigSchema<C>;
  /** Makes the instance. Throw {@link SkipPlugin} to decline; any other error marks the plugin failed. */
  initFn(ic: InitContext<C>): T | Promise<T>;
}

/** A registration whose type parameters are not known. */
export type AnyRegistration = Registration<unknown, unknown>;

/** What a plugin tells about itself; shown by introspection. */
export interface PluginMeta {
  /** Free facts, for example `root`. */
  readonly exports: Map<string, string>;
  readonly platforms: Platform[];
  readonly capabilities: string[];
}

/** Facts about the daemon that plugins may need. */
export interface DaemonInfo {
  readonly version: string;
  readonly revision: string;
  /** Path of the gRPC socket. */
  readonly address: string;
  /** Path of the ttrpc socket. */
  readonly ttrpcAddress: string;
  /** The daemon's own executable, as argv0 for shims' `-publish-binary`. */
  readonly binary: string;
  /** Whether the log level is debug or trace now: a reload can change it. */
  readonly debug: boolean;
  /** Whether log lines of calls name their trace. */
  readonly logTraceId?: boolean;
  /** `[timeouts]` of the configuration, in milliseconds by name. */
  readonly timeouts: ReadonlyMap<string, number>;
  /** `[stream_processors]` of the configuration, in its order. */
  readonly streamProcessors?: readonly StreamProcessor[];
}

/** The npm package that a plugin came from. */
export interface PluginSource {
  readonly name: string;
  readonly version: string;
  /** Where it is installed, where known. */
  readonly directory?: string;
}

/** A requirement as introspection shows it. */
export interface PluginRequirement {
  /** Name of the required type. */
  readonly type: string;
  /** The one plugin that is required; undefined: every plugin of the type. */
  readonly id?: string;
  readonly optional: boolean;
}

export type PluginState = "ok" | "skipped" | "failed" | "disabled";

/** A plugin and what became of it. */
export interface PluginStatus {
  readonly type: string;
  readonly id: string;
  /** Names of the required types, as containerd shows them. */
  readonly requires: readonly string[];
  /** All that is known of what it requires; undefined when a remote daemon does not tell. */
  readonly requirements?: readonly PluginRequirement[];
  readonly state: PluginState;
  readonly meta: PluginMeta;
  /** Why it is not ok. */
  readonly error?: string;
  /** What to do about it. */
  readonly remedy?: string;
  /** npm package it came from, where known. */
  readonly source?: PluginSource;
  /** Its configuration in force, defaults filled in; undefined when it takes none or was not initialised. */
  readonly config?: unknown;
}

/** What `initFn` receives. It sees only what the registration required; asking for anything else throws. */
export interface InitContext<C = undefined> {
  readonly config: C;
  /** Persistent directory of this plugin: `<root>/<type>.<id>`. Not created. */
  readonly root: string;
  /** Ephemeral directory of this plugin: `<state>/<type>.<id>`. Not created. */
  readonly state: string;
  readonly log: Logger;
  readonly daemon: DaemonInfo;
  readonly meta: PluginMeta;
  /** Aborts when the daemon stops. */
  readonly signal: AbortSignal;
  /** The one plugin of a type, or the referenced one. Throws when there is none or more than one. */
  get<T>(wanted: PluginType<T> | PluginRef<T>): T;
  /** Like `get`, but absent, skipped and failed plugins are `undefined`. */
  find<T>(wanted: PluginRef<T>): T | undefined;
  /** Every initialised plugin of a type, in order of initialisation. */
  getAll<T>(type: PluginType<T>): T[];
  /** Every initialised plugin of a type by id. */
  getById<T>(type: PluginType<T>): Map<string, T>;
  /** Every plugin of the daemon with its state at the time of the call; complete once the daemon has started. */
  plugins(): readonly PluginStatus[];
  /**
   * Declares top-level keys of the plugin's table that can change while the daemon runs. `apply` gets the whole new
   * configuration, in which only these keys differ; when it throws, the old configuration stays in force.
   */
  onReload(keys: readonly (keyof C & string)[], apply: (config: C) => void | Promise<void>): void;
  /** Registers clean-up. Closers run once, in reverse order of registration over the whole daemon. */
  onClose(close: () => void | Promise<void>): void;
}
