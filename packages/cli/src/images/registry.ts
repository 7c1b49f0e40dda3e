/**
 * Registries as flags and files describe them.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { Resolver } from "@ctrd/core/remotes";
import type { CredentialSource } from "@ctrd/registry";
import { createAuthorizer, createRegistryResolver, dockerCredentials, hostsFromDirectories } from "@ctrd/registry";
import { CommandFailure } from "../failure.ts";

/** Flags of commands that talk to registries. */
export interface RegistryFlags {
  plainHttp?: boolean;
  skipVerify?: boolean;
  user?: string;
  hostsDir?: string[];
}

const hostsDirectories = ["/etc/ctrd/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"];

/** Makes a resolver. */
export function resolverOf(flags: RegistryFlags, log: Logger): Resolver {
  const source = credentialSource(flags);
  const hosts = hostsFromDirectories({
    directories: flags.hostsDir ?? hostsDirectories,
    authorizer: (host) => createAuthorizer(host, source),
    log,
    ...(flags.plainHttp === true ? { defaultScheme: "http" } : {}),
    ...(flags.skipVerify === true ? { tls: { skipVerify: true } } : {}),
  });
  return createRegistryResolver({ hosts });
}

/** Docker's credentials, or those of `--user`. */
export function credentialSource({ user }: RegistryFlags): CredentialSource {
  if (user === undefined) return dockerCredentials();
  const fixed = credentialsOf(user);
  return () => Promise.resolve(fixed);
}

function credentialsOf(text: string): { username: string; secret: string } {
  const colon = text.indexOf(":");
  if (colon <= 0) {
    throw new CommandFailure("--user needs <name>:<password>", { remedy: "or log in once: ctrd login HOST" });
  }
  return { username: text.slice(0, colon), secret: text.slice(colon + 1) };
}
