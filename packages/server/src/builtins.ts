import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { version } from "./version.ts";

/** What a plugin package's `./plugin` entry exports. */
export interface PluginModule {
  // Registrations of any instance and configuration type; core's own alias cannot be inferred across modules.
  readonly default: AnyRegistration | readonly AnyRegistration[];
}

/** A package of plugins, loaded when the daemon is composed. */
export interface PluginPackage {
  readonly name: string;
  load(): Promise<PluginModule>;
}

/** The default set. This list IS the daemon: take a line away and its plugins are gone. */
export const builtins: readonly PluginPackage[] = [
  { name: "@ctrd/content-local", load: () => import("@ctrd/content-local/plugin") },
  { name: "@ctrd/snapshot-overlayfs", load: () => import("@ctrd/snapshot-overlayfs/plugin") },
  { name: "@ctrd/snapshot-native", load: () => import("@ctrd/snapshot-native/plugin") },
  { name: "@ctrd/events-exchange", load: () => import("@ctrd/events-exchange/plugin") },
  { name: "@ctrd/metadata-lmdb", load: () => import("@ctrd/metadata-lmdb/plugin") },
  { name: "@ctrd/gc-scheduler", load: () => import("@ctrd/gc-scheduler/plugin") },
  { name: "@ctrd/diff-walking", load: () => import("@ctrd/diff-walking/plugin") },
  { name: "@ctrd/runtime-v2", load: () => import("@ctrd/runtime-v2/plugin") },
  { name: "@ctrd/grpc", load: () => import("@ctrd/grpc/plugin") },
];

/**
 * Imports packages at the same time.
 *
 * @returns their plugins in the order of the list
 * @throws Error naming the package that cannot be imported
 */
export async function loadPackages(packages: readonly PluginPackage[]): Promise<LoadedPlugin[]> {
  const loaded = await Promise.all(
    packages.map(async ({ name, load }) => {
      try {
        const { default: exported } = await load();
        const registrations = Array.isArray(exported) ? (exported as readonly AnyRegistration[]) : [exported];
        const source = { name, version };
        return registrations.map((registration) => ({ registration: registration as AnyRegistration, source }));
      } catch (error) {
        throw new Error(`load plugin package ${name}: ${String(error)}`, { cause: error });
      }
    }),
  );
  return loaded.flat();
}
