/**
 * The resolver: finds what references mean, and opens fetchers and pushers.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { CallContext } from "@ctrd/core/context";
import { isDigest } from "@ctrd/core/digests";
import { failedPrecondition, invalidArgument, resourceExhausted } from "@ctrd/core/errors";
import type { Fetcher, Pusher, ResolvedImage, Resolver } from "@ctrd/core/remotes";
import { RegistryFetcher } from "./fetcher.ts";
import type { FetchSettings } from "./fetcher.ts";
import type { HostLookup } from "./hosts.ts";
import { manifestAccept } from "./media-types.ts";
import { RegistryPusher } from "./pusher.ts";
import type { Reference } from "@ctrd/core/references";
import { formatReference, parseReference } from "@ctrd/core/references";
import type { ApiResponse } from "./requests.ts";
import { askHosts, drop } from "./requests.ts";
import { pullScope } from "./scopes.ts";

/** Options of {@link createRegistryResolver}. */
export interface RegistryOptions extends FetchSettings {
  hosts: HostLookup;
  /** Sent with every request. */
  userAgent?: string;
}

const defaultUserAgent = "containerd/2.3.4+ctrd";
/** A manifest whose digest must be computed is read up to this many bytes; containerd's own limit. */
const maxManifestBytes = 4 * 1048 * 1048;

/** Makes a resolver for registries. It connects to nothing before it is asked. */
export function createRegistryResolver(options: RegistryOptions): Resolver {
  return new RegistryResolver(options);
}

class RegistryResolver implements Resolver {
  readonly #options: RegistryOptions;
  readonly #userAgent: string;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#userAgent = options.userAgent ?? defaultUserAgent;
  }

  async resolve(ctx: CallContext, text: string): Promise<ResolvedImage> {
    const reference = parseReference(text);
    const { tag, digest } = reference;
    if (tag === "" && digest === "") throw invalidArgument(`image reference "${text}" has neither tag nor digest`);
    const hosts = await this.#options.hosts(reference.host);
    const name = digest === "" ? tag : digest;
    const ask = {
      path: `/${reference.repository}/manifests/${name}`,
      headers: { accept: manifestAccept },
      scopes: [pullScope(reference.repository)],
      origin: reference.host,
      action: `resolve "${text}"`,
    };
    const { response } = await askHosts(ctx, hosts, "resolve", { ...ask, method: "HEAD" }, this.#userAgent).catch(
      async (error: unknown) => {
        // Some registries know only GET here.
        if (!/HTTP status 405/.test(String(error))) throw error;
        return askHosts(ctx, hosts, "resolve", { ...ask, method: "GET" }, this.#userAgent);
      },
    );
    const told = headerOf(response, "docker-content-digest");
    const size = Number(headerOf(response, "content-length") || Number.NaN);
    if (isDigest(told) && Number.isSafeInteger(size) && size > 0) {
      await drop(response);
      checkTold(text, digest, told);
      const target = descriptorOf(response, told, size);
      return { name: formatReference(reference), target };
    }
    await drop(response);
    return this.#resolveByReading(ctx, text, reference, ask);
  }

  /** The registry does not tell the digest: it is computed. */
  async #resolveByReading(
    ctx: CallContext,
    text: string,
    reference: Reference,
    ask: Omit<Parameters<typeof askHosts>[3], "method">,
  ): Promise<ResolvedImage> {
    const hosts = await this.#options.hosts(reference.host);
    const { response } = await askHosts(ctx, hosts, "resolve", { ...ask, method: "GET" }, this.#userAgent);
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxManifestBytes) {
        throw resourceExhausted(`resolve "${text}": the manifest is larger than ${maxManifestBytes} bytes`);
      }
      hash.update(chunk);
    }
    const digest = `sha256:${hash.digest("hex")}`;
    if (reference.digest.startsWith("sha256:")) checkTold(text, reference.digest, digest);
    return { name: formatReference(reference), target: descriptorOf(response, reference.digest || digest, size) };
  }

  async fetcher(_ctx: CallContext, text: string): Promise<Fetcher> {
    const reference = parseReference(text);
    const hosts = await this.#options.hosts(reference.host);
    return new RegistryFetcher(reference, hosts, this.#userAgent, this.#options);
  }

  async pusher(_ctx: CallContext, text: string): Promise<Pusher> {
    const reference = parseReference(text);
    const hosts = await this.#options.hosts(reference.host);
    return new RegistryPusher(reference, hosts, this.#userAgent);
  }
}

function checkTold(text: string, wanted: string, told: string): void {
  if (wanted === "" || wanted === told) return;
  throw failedPrecondition(`resolve "${text}": the registry answers with digest ${told}`);
}

function descriptorOf(response: ApiResponse, digest: string, size: number): ResolvedImage["target"] {
  const mediaType = headerOf(response, "content-type").split(";")[0]?.trim() ?? "";
  return { mediaType, digest, size: BigInt(size), annotations: new Map() };
}

function headerOf(response: ApiResponse, name: string): string {
  const value = response.headers[name];
  return typeof value === "string" ? value : (value?.[0] ?? "");
}
