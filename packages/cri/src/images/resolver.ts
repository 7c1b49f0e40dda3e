/** Where images are pulled from: hosts.toml directories, or the tables of old files. */
import type { AuthConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { Logger } from "@ctrd/core/log";
import type { Resolver } from "@ctrd/core/remotes";
import type { Authorizer } from "@ctrd/registry";
import type { ImagesConfig } from "../config/images-config.ts";
import { credentialsOf } from "./credentials.ts";
import { hostsFromMirrors } from "./mirrors.ts";

/** Sizes of pieces up to this many bytes are none, as in containerd. */
const smallest = 512;

/** The resolver of one pull. */
export async function openResolver(
  { registry, concurrent_layer_fetch_buffer: pieceSize }: ImagesConfig,
  auth: AuthConfig | undefined,
  log: Logger,
): Promise<Resolver> {
  // The HTTP client is loaded with the first pull: it would take a tenth of the daemon's start.
  const { createAuthorizer, createRegistryResolver, hostsFromDirectories, registryHosts } =
    await import("@ctrd/registry");
  const credentials = credentialsOf(auth, registry);
  const authorizer = (host: string): Authorizer => createAuthorizer(host, credentials);
  const hasTables = Object.keys(registry.mirrors).length > 0 || Object.keys(registry.configs).length > 0;
  const hosts = hasTables
    ? hostsFromMirrors(registry, authorizer, registryHosts)
    : hostsFromDirectories({
        directories: registry.config_path.split(":").filter((path) => path !== ""),
        log,
        authorizer,
        headers: registry.headers,
      });
  // With a size for its pieces, every content that has several is fetched so.
  return createRegistryResolver({ hosts, ...(pieceSize > smallest ? { pieceSize, parallelMinimum: pieceSize } : {}) });
}
