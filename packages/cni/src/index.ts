/**
 * Container networks by CNI plugins.
 *
 * ```ts
 * const cni = new Cni({ pluginDirectories: ["/opt/cni/bin", "/usr/lib/cni"] });
 * const networks = await loadNetworks("/etc/cni/net.d", 1);
 * const netns = await NetworkNamespace.create();
 * const [eth0] = await attachNetworks(cni, { id: "web", netns: netns.path, networks });
 * console.log(eth0.addresses); // [{ ip: "10.4.0.2", prefix: 24, gateway: "10.4.0.1" }]
 * await detachNetworks(cni, { id: "web", netns: netns.path, networks });
 * await netns.remove();
 * ```
 *
 * @module
 */
export type { AttachedInterface, AttachRequest } from "./attach.ts";
export { attachNetworks, detachNetworks } from "./attach.ts";
export type { Bandwidth, CapabilityArgs, DnsCapability, PortMapping } from "./capabilities.ts";
export type { Attachment, CniOptions, ValidAttachment } from "./cni.ts";
export { Cni } from "./cni.ts";
export type { NetworkConfig, PluginConfig } from "./config.ts";
export { parseNetworkConfig } from "./config.ts";
export { loadNetworks, readNetwork } from "./load.ts";
export { checkNetworkName } from "./names.ts";
export { defaultNamespaceDirectory, NetworkNamespace, removeNamespace } from "./netns/network-namespace.ts";
export type { CniOperation } from "./plugin-error.ts";
export { CniPluginError } from "./plugin-error.ts";
export { findPlugin } from "./plugin-program.ts";
export type { AttachmentKey, CachedAttachment } from "./result-cache.ts";
export type { NetworkResult, ResultAddress, ResultDns, ResultInterface, ResultRoute } from "./result.ts";
export type { CniVersion } from "./versions.ts";
export { supportedVersions } from "./versions.ts";
export type { NetworksState, NetworksWatch, WatchOptions } from "./watch.ts";
export { watchNetworks } from "./watch.ts";
