/**
 * Credentials of a pull: what the request has, else what the configuration has for the host.
 *
 * @module
 */
import type { AuthConfig } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument } from "@ctrd/core/errors";
import type { CredentialSource } from "@ctrd/registry";
import type { RegistryAuth, RegistryConfig } from "../config/images-config.ts";

interface Pair {
  readonly username: string;
  readonly secret: string;
}

/** Credentials for every host of one pull. */
export function credentialsOf(auth: AuthConfig | undefined, registry: RegistryConfig): CredentialSource {
  return (host) => Promise.resolve(fromRequest(auth, host) ?? configured(registry, host));
}

function fromRequest(auth: AuthConfig | undefined, host: string): Pair | undefined {
  if (auth === undefined) return undefined;
  if (auth.serverAddress !== "" && hostOf(auth.serverAddress) !== hostOf(host)) return undefined;
  return pairOf({ ...auth, identitytoken: auth.identityToken });
}

/** Names of Docker's registry are one. */
function hostOf(address: string): string {
  const url = address.includes("://") ? address.slice(address.indexOf("://") + 3) : address;
  const host = url.split("/")[0] ?? "";
  return host === "docker.io" || host === "index.docker.io" ? "registry-1.docker.io" : host;
}

function configured({ configs, auths }: RegistryConfig, host: string): Pair | undefined {
  const listed = Object.entries(configs).find(([name]) => hostOf(name) === hostOf(host))?.[1].auth;
  const pair = listed === undefined ? undefined : pairOf(listed);
  if (pair !== undefined) return pair;
  const old = Object.entries(auths).find(([name]) => hostOf(name) === hostOf(host))?.[1];
  return old === undefined ? undefined : pairOf(old);
}

/** User and password, else a token, else both in base64. */
function pairOf({ username, password, auth, identitytoken }: RegistryAuth): Pair | undefined {
  if (username !== "") return { username, secret: password };
  if (identitytoken !== "") return { username: "", secret: identitytoken };
  if (auth === "") return undefined;
  const decoded = Buffer.from(auth, "base64").toString();
  const colon = decoded.indexOf(":");
  if (colon < 0) throw invalidArgument("credentials: auth is not base64 of <user>:<password>");
  return { username: decoded.slice(0, colon), secret: decoded.slice(colon + 1).replace(/\0+$/, "") };
}
