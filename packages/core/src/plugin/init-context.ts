import { failedPrecondition, notFound } from "../errors.ts";
import type { Logger } from "../log.ts";
import type {
  DaemonInfo,
  InitContext,
  PluginMeta,
  PluginRef,
  PluginStatus,
  PluginType,
  Registration,
} from "./contract.ts";
import { pluginUri } from "./contract.ts";
import type { LoadedPlugin } from "./graph.ts";
import { describePlugin, needOf, satisfies, wantedOf } from "./graph.ts";

/** A plugin that was initialised. */
export interface PluginInstance {
  readonly plugin: LoadedPlugin;
  readonly instance: unknown;
}

/** The daemon side of an init context. */
export interface ContextHost {
  readonly root: string;
  readonly state: string;
  readonly log: Logger;
  readonly daemon: DaemonInfo;
  readonly signal: AbortSignal;
  /** In order of initialisation; grows. */
  readonly instances: readonly PluginInstance[];
  plugins(): readonly PluginStatus[];
}

type Wanted = PluginType<unknown> | PluginRef<unknown>;

/** What a plugin registers during its `initFn`. */
export interface ContextHooks<C> {
  onClose(close: () => void | Promise<void>): void;
  onReload(keys: readonly (keyof C & string)[], apply: (config: C) => void | Promise<void>): void;
}

/** Makes the context of one `initFn`: it sees what the registration required, and nothing else. */
export function createInitContext<C>(
  host: ContextHost,
  plugin: LoadedPlugin,
  config: C,
  meta: PluginMeta,
  hooks: ContextHooks<C>,
): InitContext<C> {
  const uri = pluginUri(plugin.registration);
  const seen = (wanted: Wanted): PluginInstance[] => {
    checkRequired(plugin, wanted);
    return host.instances.filter((other) => satisfies(other.plugin, wantedOf(wanted)));
  };
  return {
    config,
    root: `${host.root}/${uri}`,
    state: `${host.state}/${uri}`,
    log: host.log.child({ plugin: uri }),
    daemon: host.daemon,
    meta,
    signal: host.signal,
    get: <T>(wanted: PluginType<T> | PluginRef<T>): T => theOne(host, plugin, wanted, seen(wanted)) as T,
    find: <T>(wanted: PluginRef<T>): T | undefined => seen(wanted)[0]?.instance as T | undefined,
    getAll: <T>(type: PluginType<T>): T[] => seen(type).map((other) => other.instance as T),
    getById: <T>(type: PluginType<T>): Map<string, T> =>
      new Map(seen(type).map((other) => [other.plugin.registration.id, other.instance as T])),
    plugins: () => host.plugins(),
    ...hooks,
  };
}

function theOne(host: ContextHost, plugin: LoadedPlugin, wanted: Wanted, found: readonly PluginInstance[]): unknown {
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first.instance;
  const { type, id } = wantedOf(wanted);
  const name = id === undefined ? `a plugin of type ${type}` : `plugin ${type}.${id}`;
  if (first !== undefined) {
    const ids = found.map((other) => other.plugin.registration.id).join(", ");
    throw failedPrecondition(`${describePlugin(plugin)} asks for the one plugin of type ${type}, but there are ${ids}`);
  }
  const status = host.plugins().find((other) => other.type === type && (id === undefined || other.id === id));
  const why =
    status?.error === undefined ? "" : `, because ${status.type}.${status.id} is ${status.state}: ${status.error}`;
  throw notFound(`${describePlugin(plugin)} asks for ${name}, and there is none${why}`);
}

/** A required type covers all its plugins; a required plugin covers only itself. */
function checkRequired(plugin: LoadedPlugin, wanted: Wanted): void {
  const { type, id } = wantedOf(wanted);
  for (const requirement of (plugin.registration as Registration<unknown, unknown>).requires ?? []) {
    const need = needOf(requirement);
    if (need.type === type && (need.id === undefined || need.id === id)) return;
  }
  const name = id === undefined ? type : `${type}.${id}`;
  throw failedPrecondition(
    `plugin ${describePlugin(plugin)} asks for ${name} without requiring it; add it to "requires" of the registration`,
  );
}
