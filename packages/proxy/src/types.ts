import { ContentPlugin } from "@ctrd/core/content";
import { DiffPlugin } from "@ctrd/core/diff";
import type { PluginType } from "@ctrd/core/plugin";
import { SandboxControllerPlugin } from "@ctrd/core/sandboxes";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { RpcChannel } from "@ctrd/services";
import { proxyDiffer, proxySandboxController, proxySnapshotter } from "@ctrd/services";
import { contentBackend } from "./content-backend.ts";

/** A kind of proxy plugin: what it is in the daemon, and how it is reached. */
export interface ProxyType<T = unknown> {
  readonly type: PluginType<T>;
  /** Makes the component over a channel; the peer is told the plugin's id where its service asks for a name. */
  connect(channel: RpcChannel, id: string): T;
}

/** The kinds by their short names. */
const proxyTypes: ReadonlyMap<string, ProxyType> = new Map<string, ProxyType>([
  ["snapshot", { type: SnapshotPlugin, connect: proxySnapshotter }],
  ["content", { type: ContentPlugin, connect: contentBackend }],
  ["diff", { type: DiffPlugin, connect: proxyDiffer }],
  ["sandbox", { type: SandboxControllerPlugin, connect: proxySandboxController }],
]);

/** Every `type` that the configuration may name: short names and names of plugin types. */
export const knownTypes: readonly string[] = [
  ...proxyTypes.keys(),
  ...[...proxyTypes.values()].map(({ type }) => type.name),
];

/** The kind that `type` of a `[proxy_plugins.<id>]` table names; undefined for an unknown one. */
export function findProxyType(type: string): ProxyType | undefined {
  return proxyTypes.get(type) ?? [...proxyTypes.values()].find((one) => one.type.name === type);
}

/** The plugin type that `type` of a `[proxy_plugins.<id>]` table stands for; undefined for an unknown one. */
export function proxyPluginType(type: string): PluginType<unknown> | undefined {
  return findProxyType(type)?.type;
}
