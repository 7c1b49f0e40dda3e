import type { LoadedPlugin } from "@ctrd/core/plugin";
import type { DaemonTable } from "../config/daemon-table.ts";
import { findSource } from "./load-packages.ts";

/** The package of the proxy plugins. */
export const proxyPackage = "@ctrd/proxy";

/** The plugins of a daemon with those of its `proxy_plugins` table. */
export async function withProxyPlugins(
  plugins: readonly LoadedPlugin[],
  table: DaemonTable["proxy_plugins"],
): Promise<readonly LoadedPlugin[]> {
  if (Object.keys(table).length === 0) return plugins;
  // Loaded only for daemons that have any.
  const [{ proxyRegistrations }, source] = await Promise.all([import("@ctrd/proxy"), findSource(proxyPackage)]);
  return [...plugins, ...proxyRegistrations(table).map((registration) => ({ registration, source }))];
}
