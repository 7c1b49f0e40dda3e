/**
 * Proxy plugins: components of other processes, each behind a unix socket that speaks containerd's gRPC service.
 *
 * ```ts
 * const settings = { type: "snapshot", address: "/run/mine.sock", platform: "", exports: {}, capabilities: [] };
 * const registration = proxyRegistration("mine", settings); // io.containerd.snapshotter.v1.mine
 * ```
 *
 * @module
 */
export { proxyRegistration, proxyRegistrations } from "./registrations.ts";
export type { ProxySettings } from "./settings.ts";
export { checkProxySettings } from "./settings.ts";
export { proxyPluginType } from "./types.ts";
