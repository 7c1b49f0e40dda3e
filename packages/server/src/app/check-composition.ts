import { failedPrecondition } from "@ctrd/core/errors";
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { orderPlugins, pluginUri, requirementsOf } from "@ctrd/core/plugin";

/**
 * Refuses a composition that cannot work: two plugins of one name, a ring of requirements, or a package none of whose
 * plugins has what it requires. Of a package with many plugins (the services) a daemon need not have what each
 * requires, and what the configuration disables is no mistake: such plugins are shown as failed, and the others go on.
 *
 * @param disabled `disabled_plugins` of the configuration
 * @throws ContainerdError `invalid-argument` or `failed-precondition`: the plugins, their packages with versions, and
 * what to do
 */
export function checkComposition(plugins: readonly LoadedPlugin[], disabled: readonly string[]): void {
  const order = orderPlugins(plugins, { disabled });
  const lacksForGood = (plugin: LoadedPlugin): boolean =>
    order.missing.has(plugin) && !requiresAny(plugin, order.disabled);
  const useless = order.order.filter((plugin) => packageOf(plugin, plugins).every(lacksForGood));
  const [first, ...others] = useless;
  const problem = first === undefined ? undefined : order.missing.get(first);
  if (first === undefined || problem === undefined) return;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  const instead = `or remove ${first.source?.name ?? pluginUri(first.registration)}`;
  throw failedPrecondition(`plugin ${problem.error}; ${problem.remedy}, ${instead}${more}`);
}

/** Whether a disabled plugin is one that `plugin` requires. */
function requiresAny(plugin: LoadedPlugin, disabled: readonly LoadedPlugin[]): boolean {
  return requirementsOf(plugin.registration).some(
    ({ type, id, optional }) =>
      !optional &&
      disabled.some(
        ({ registration }) => registration.type.name === type && (id ?? registration.id) === registration.id,
      ),
  );
}

/** The plugins of the same package; those of no known package are each by themselves. */
function packageOf(plugin: LoadedPlugin, plugins: readonly LoadedPlugin[]): readonly LoadedPlugin[] {
  const { source } = plugin;
  if (source === undefined) return [plugin];
  return plugins.filter((other) => other.source?.name === source.name && other.source.version === source.version);
}
