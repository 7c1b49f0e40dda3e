import { invalidArgument } from "../errors.ts";
import type {
  AnyRegistration,
  PluginRef,
  PluginRequirement,
  PluginSource,
  PluginType,
  Requirement,
} from "./contract.ts";
import { pluginUri } from "./contract.ts";

/** A registration and the npm package that it came from, where known. */
export interface LoadedPlugin {
  readonly registration: AnyRegistration;
  readonly source?: PluginSource;
}

/** Why a plugin cannot be initialised, and what to do about it. */
export interface PluginProblem {
  readonly error: string;
  readonly remedy: string;
}

/** The plugins of a daemon in order of initialisation. */
export interface PluginOrder {
  /** Dependencies before dependents; otherwise as listed. */
  readonly order: readonly LoadedPlugin[];
  readonly disabled: readonly LoadedPlugin[];
  /** Plugins of `order` that lack something they require. */
  readonly missing: ReadonlyMap<LoadedPlugin, PluginProblem>;
}

/** A requirement taken apart: `id` is undefined when every plugin of the type is meant. */
export interface Need {
  readonly type: string;
  readonly id: string | undefined;
  readonly optional: boolean;
}

/**
 * Orders plugins so that each comes after what it requires.
 *
 * @param options.disabled `<type>.<id>` of plugins that are not to be initialised
 * @throws ContainerdError `invalid-argument` when a `<type>.<id>` is registered twice, or requirements form a ring
 */
export function orderPlugins(
  plugins: readonly LoadedPlugin[],
  options: { disabled?: readonly string[] } = {},
): PluginOrder {
  checkDuplicates(plugins);
  const disabledUris = new Set(options.disabled);
  const isDisabled = (plugin: LoadedPlugin): boolean => disabledUris.has(pluginUri(plugin.registration));
  const enabled = plugins.filter((plugin) => !isDisabled(plugin));
  const disabled = plugins.filter(isDisabled);
  const missing = new Map<LoadedPlugin, PluginProblem>();
  for (const plugin of enabled) {
    const problem = missingRequirement(plugin, enabled, disabled);
    if (problem !== undefined) missing.set(plugin, problem);
  }
  return { order: sortTopologically(enabled), disabled, missing };
}

/** Takes a requirement apart. */
export function needOf(requirement: Requirement): Need {
  if ("optional" in requirement) return { ...needOf(requirement.optional), optional: true };
  return { ...wantedOf(requirement), optional: false };
}

/** What a registration requires, as data. */
export function requirementsOf(registration: AnyRegistration): PluginRequirement[] {
  return (registration.requires ?? []).map((requirement) => {
    const { type, id, optional } = needOf(requirement);
    return { type, ...(id === undefined ? {} : { id }), optional };
  });
}

/** Type and id of a token or reference. */
export function wantedOf(wanted: PluginType<unknown> | PluginRef<unknown>): { type: string; id: string | undefined } {
  return "type" in wanted ? { type: wanted.type.name, id: wanted.id } : { type: wanted.name, id: undefined };
}

/** Whether `plugin` is what `need` asks for. */
export function satisfies(plugin: LoadedPlugin, need: { type: string; id: string | undefined }): boolean {
  const { type, id } = plugin.registration;
  return type.name === need.type && (need.id === undefined || need.id === id);
}

/** `<type>.<id> (package)`. */
export function describePlugin(plugin: LoadedPlugin): string {
  const uri = pluginUri(plugin.registration);
  return plugin.source === undefined ? uri : `${uri} (${describeSource(plugin.source)})`;
}

/** `name@version`, or what stands for a package that is not known. */
export function describeSource(source: PluginSource | undefined): string {
  return source === undefined ? "an unnamed package" : `${source.name}@${source.version}`;
}

function checkDuplicates(plugins: readonly LoadedPlugin[]): void {
  const seen = new Map<string, LoadedPlugin>();
  for (const plugin of plugins) {
    const uri = pluginUri(plugin.registration);
    const first = seen.get(uri);
    if (first !== undefined) {
      const by = `${describeSource(first.source)} and ${describeSource(plugin.source)}`;
      const remedy = "remove one of these packages, or give one of the plugins another id";
      throw invalidArgument(`plugin ${uri} is registered twice, by ${by}; ${remedy}`);
    }
    seen.set(uri, plugin);
  }
}

function missingRequirement(
  plugin: LoadedPlugin,
  enabled: readonly LoadedPlugin[],
  disabled: readonly LoadedPlugin[],
): PluginProblem | undefined {
  for (const requirement of plugin.registration.requires ?? []) {
    const need = needOf(requirement);
    const found = (other: LoadedPlugin): boolean => other !== plugin && satisfies(other, need);
    if (need.optional || enabled.some(found)) continue;
    const wanted = need.id === undefined ? `a plugin of type ${need.type}` : `plugin ${need.type}.${need.id}`;
    const off = disabled.filter(found).map((other) => pluginUri(other.registration));
    const error = `${describePlugin(plugin)} requires ${wanted}, and there is none`;
    if (off.length === 0) return { error, remedy: `add a package that provides ${wanted} to the daemon` };
    return { error: `${error} that is enabled`, remedy: `remove ${off.join(" or ")} from disabled_plugins` };
  }
  return undefined;
}

function sortTopologically(plugins: readonly LoadedPlugin[]): LoadedPlugin[] {
  const order: LoadedPlugin[] = [];
  const done = new Set<LoadedPlugin>();
  const path: LoadedPlugin[] = [];
  const visit = (plugin: LoadedPlugin): void => {
    if (done.has(plugin)) return;
    const start = path.indexOf(plugin);
    if (start >= 0) throw ringError([...path.slice(start), plugin]);
    path.push(plugin);
    for (const requirement of plugin.registration.requires ?? []) {
      const need = needOf(requirement);
      for (const other of plugins) if (other !== plugin && satisfies(other, need)) visit(other);
    }
    path.pop();
    done.add(plugin);
    order.push(plugin);
  };
  for (const plugin of plugins) visit(plugin);
  return order;
}

function ringError(ring: readonly LoadedPlugin[]): Error {
  const names = ring.map(describePlugin).join(" → ");
  return invalidArgument(
    `plugins require each other in a ring: ${names}; remove one of these packages or requirements`,
  );
}
