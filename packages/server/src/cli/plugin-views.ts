import { once } from "node:events";
import { connect } from "node:net";
import { createContext } from "@ctrd/core/context";
import { errnoOf, failedPrecondition, isKind } from "@ctrd/core/errors";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { LoadedPlugin, PluginState, PluginStatus } from "@ctrd/core/plugin";
import { orderPlugins, pluginUri, requirementsOf } from "@ctrd/core/plugin";
import { openChannel, plainConfig, proxyIntrospection } from "@ctrd/services";
import type { DaemonConfig } from "../config/index.ts";
import { defaultPaths, loadDocuments } from "../config/index.ts";
import { valueAt } from "../config/key-path.ts";
import { mergeTables } from "../config/merge.ts";
import { grpcServerUri } from "../config/resolve.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition } from "./composition.ts";

/** A plugin as `ctrd plugins` shows it; its state is not known while the daemon does not run. */
export type PluginView = Omit<PluginStatus, "state"> & { readonly state: PluginState | "unknown" };

/** How long a daemon may take to answer, in milliseconds. */
const answerTimeoutMs = 10_000;

/**
 * The plugins of the running daemon, or, when nothing answers at its socket, of the one that these arguments would
 * start.
 *
 * @param note gets sentences that the caller shows beside the result
 * @throws ContainerdError when the daemon cannot be asked, or none can be composed
 */
export async function loadViews(options: Arguments, note: (text: string) => void): Promise<readonly PluginView[]> {
  const address = await addressOf(options);
  if (await isServing(address)) return askDaemon(address);
  note(`no daemon is running at ${address}: states are not known`);
  const { plugins, app, config } = await loadComposition(options);
  for (const { name, reason } of app?.passedOver ?? []) note(`dependency ${name} is passed over: ${reason}`);
  return composedViews(plugins, config);
}

/** Where the daemon of a command line serves, without loading its plugins. */
async function addressOf(options: Arguments): Promise<string> {
  if (options.address !== undefined) return options.address;
  const { documents } = await loadDocuments(options.config);
  const { table } = mergeTables(documents.map((document) => document.table));
  const configured = valueAt(table, ["plugins", grpcServerUri, "address"]);
  if (typeof configured === "string" && configured !== "") return configured;
  const state = options.state ?? table["state"];
  return `${typeof state === "string" && state !== "" ? state : defaultPaths.state}/ctrd.sock`;
}

async function isServing(address: string): Promise<boolean> {
  const tcp = /^([^/]+):(\d+)$/.exec(address);
  const path = address.replace(/^unix:\/\//, "");
  const socket = tcp === null ? connect({ path }) : connect({ host: tcp[1] ?? "", port: Number(tcp[2]) });
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? String(error);
    if (["ENOENT", "ENOTDIR", "ECONNREFUSED"].includes(errno)) return false;
    const hint = errno === "EACCES" ? "; run as root, or as the owner of the socket" : "";
    throw failedPrecondition(`connect to the daemon at ${address}: ${errno}${hint}`, { cause: error });
  } finally {
    socket.destroy();
  }
}

async function askDaemon(address: string): Promise<readonly PluginView[]> {
  using channel = openChannel(address);
  const introspection = proxyIntrospection(channel);
  const ctx = createContext({ signal: AbortSignal.timeout(answerTimeoutMs) });
  const listed = await introspection.plugins(ctx, []);
  return await Promise.all(listed.map((plugin) => completed(introspection, ctx, plugin)));
}

/** A listed plugin with its details. containerd 1.x has no such question: then what the list says must do. */
async function completed(
  introspection: IntrospectionService,
  ctx: ReturnType<typeof createContext>,
  plugin: PluginStatus,
): Promise<PluginView> {
  try {
    return (await introspection.pluginInfo(ctx, plugin.type, plugin.id, undefined)).plugin;
  } catch (error) {
    if (isKind(error, "not-implemented")) return plugin;
    throw error;
  }
}

async function composedViews(plugins: readonly LoadedPlugin[], config: DaemonConfig): Promise<PluginView[]> {
  const { order, disabled, missing } = orderPlugins(plugins, { disabled: config.table.disabled_plugins });
  const off = { error: "disabled by configuration", remedy: "remove it from disabled_plugins" };
  const views = order.map(async (plugin): Promise<PluginView> => {
    const problem = missing.get(plugin);
    const inForce = await configOf(plugin, config);
    return { ...viewOf(plugin), ...(problem === undefined ? inForce : { state: "failed", ...problem }) };
  });
  return [
    ...(await Promise.all(views)),
    ...disabled.map((plugin): PluginView => ({ ...viewOf(plugin), state: "disabled", ...off })),
  ];
}

function viewOf({ registration, source }: LoadedPlugin): PluginView {
  const requirements = requirementsOf(registration);
  return {
    type: registration.type.name,
    id: registration.id,
    requires: [...new Set(requirements.map(({ type }) => type))],
    requirements,
    state: "unknown",
    meta: { exports: new Map(), platforms: [], capabilities: [] },
    ...(source === undefined ? {} : { source }),
  };
}

/** The configuration that a plugin would get. The whole was checked when it was loaded. */
async function configOf({ registration }: LoadedPlugin, { table }: DaemonConfig): Promise<{ config?: unknown }> {
  const own = table.plugins[pluginUri(registration)] ?? {};
  const result = await registration.config?.standard["~standard"].validate(own);
  return result === undefined || result.issues !== undefined ? {} : { config: plainConfig(result.value) };
}
