/**
 * Registries, as the OCI distribution spec has them: a resolver over hosts with mirrors, authorization, retries and
 * resumed transfers.
 *
 * ```ts
 * const credentials = dockerCredentials();
 * const hosts = hostsFromDirectories({
 *   directories: ["/etc/containerd/certs.d"],
 *   authorizer: (host) => createAuthorizer(host, credentials),
 *   log,
 * });
 * const resolver = createRegistryResolver({ hosts });
 * const { name, target } = await resolver.resolve(ctx, completeReference("busybox"));
 * ```
 *
 * @module
 */
export type { Authorizer } from "./authorizer.ts";
export { createAuthorizer } from "./authorizer.ts";
export type { CredentialSource, Credentials } from "./credentials.ts";
export { dockerCredentials } from "./credentials.ts";
export type { TlsSettings } from "./dispatcher.ts";
export type { FetchSettings } from "./fetcher.ts";
export type { Capability, HostLookup, HostOptions, RegistryHost } from "./hosts.ts";
export { registryHosts } from "./hosts.ts";
export type { HostsDirectoryOptions } from "./hosts-toml.ts";
export { hostsFromDirectories } from "./hosts-toml.ts";
export type { RegistryOptions } from "./resolver.ts";
export { createRegistryResolver } from "./resolver.ts";
