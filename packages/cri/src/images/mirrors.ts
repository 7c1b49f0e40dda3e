/** Mirrors and TLS files as files of containerd 1.x name them, before there was hosts.toml. */
import { readFile } from "node:fs/promises";
import type { Authorizer, HostLookup, HostOptions, RegistryHost, TlsSettings } from "@ctrd/registry";
import type { RegistryConfig } from "../config/images-config.ts";

type HostsOf = (options: HostOptions) => HostLookup;

/** Looks hosts up in the tables `mirrors` and `configs`. */
export function hostsFromMirrors(
  registry: RegistryConfig,
  authorizer: (host: string) => Authorizer,
  registryHosts: HostsOf,
): HostLookup {
  const own = async (host: string, url?: URL): Promise<RegistryHost[]> => {
    const tls = await tlsOf(registry, host);
    const lookup = registryHosts({
      authorizer,
      headers: registry.headers,
      ...(tls === undefined ? {} : { tls }),
      ...(url === undefined ? {} : { defaultScheme: url.protocol === "http:" ? "http" : "https" }),
    });
    const hosts = await lookup(host);
    const path = url?.pathname.replace(/\/$/, "") ?? "";
    return hosts.map((each) => (path === "" ? each : { ...each, path }));
  };
  return async (host) => {
    const endpoints = (registry.mirrors[host] ?? registry.mirrors["*"])?.endpoint ?? [];
    const hosts: RegistryHost[] = [];
    for (const endpoint of endpoints) {
      const url = new URL(endpoint.includes("://") ? endpoint : `https://${endpoint}`);
      for (const each of await own(url.host, url)) {
        hosts.push({ ...each, capabilities: new Set(["pull", "resolve"]) });
      }
    }
    return hosts.some((each) => each.host === host) ? hosts : [...hosts, ...(await own(host))];
  };
}

async function tlsOf({ configs }: RegistryConfig, host: string): Promise<TlsSettings | undefined> {
  const tls = configs[host]?.tls;
  if (tls === undefined) return undefined;
  const read = (path: string): Promise<string> => readFile(path, "utf8");
  return {
    skipVerify: tls.insecure_skip_verify,
    ...(tls.ca_file === "" ? {} : { ca: [await read(tls.ca_file)] }),
    ...(tls.cert_file === "" ? {} : { client: [{ cert: await read(tls.cert_file), key: await read(tls.key_file) }] }),
  };
}
