/**
 * The resolver: finds what references mean, and opens fetchers and pushers.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { CallContext } from "@ctrd/core/context";
import { isDigest, parseDigest } from "@ctrd/core/digests";
import { failedPrecondition, invalidArgument, isKind, resourceExhausted } from "@ctrd/core/errors";
import type { Fetcher, Pusher, ResolvedImage, Resolver } from "@ctrd/core/remotes";
import { RegistryFetcher } from "./fetcher.ts";
import type { FetchSettings } from "./fetcher.ts";
import type { HostLookup, RegistryHost } from "./hosts.ts";
import { manifestAccept } from "./media-types.ts";
import { RegistryPusher } from "./pusher.ts";
import type { Reference } from "@ctrd/core/references";
import { formatReference, parseReference } from "@ctrd/core/references";
import type { ApiResponse } from "./answers.ts";
import { drop, headerOf } from "./answers.ts";
import { askHosts } from "./requests.ts";
import { pullScope } from "./scopes.ts";
import type { ApiRequest } from "./send.ts";

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
    // A digest may be that of a blob as well.
    const paths = digest === "" ? [`manifests/${tag}`] : [`manifests/${digest}`, `blobs/${digest}`];
    let failure: unknown;
    for (const path of paths) {
      const ask = {
        path: `/${reference.repository}/${path}`,
        headers: { accept: manifestAccept },
        scopes: [pullScope(reference.repository)],
        origin: reference.host,
        action: `resolve "${text}"`,
      };
      try {
        return await this.#resolveAt(ctx, text, reference, ask);
      } catch (error) {
        failure ??= error;
        // Some registries answer with 500 when a blob is no manifest.
        const answered = isKind(error, "unavailable") && error.cause === undefined;
        if (!answered && !isKind(error, "not-found")) throw error;
      }
    }
    throw failure;
  }

  async #resolveAt(
    ctx: CallContext,
    text: string,
    reference: Reference,
    ask: Omit<ApiRequest, "method">,
  ): Promise<ResolvedImage> {
    const hosts = await this.#options.hosts(reference.host);
    const { response } = await askHosts(ctx, hosts, "resolve", { ...ask, method: "HEAD" }, this.#userAgent);
    const told = headerOf(response, "docker-content-digest");
    const size = Number(headerOf(response, "content-length") || Number.NaN);
    await drop(response);
    const known = isDigest(told) && Number.isSafeInteger(size) && size > 0;
    if (!known) return this.#resolveByReading(ctx, hosts, text, reference, ask);
    checkTold(text, reference.digest, told);
    return { name: formatReference(reference), target: descriptorOf(response, told, size) };
  }

  /** The registry does not tell the digest: it is computed. */
  async #resolveByReading(
    ctx: CallContext,
    hosts: readonly RegistryHost[],
    text: string,
    reference: Reference,
    ask: Omit<ApiRequest, "method">,
  ): Promise<ResolvedImage> {
    const { response } = await askHosts(ctx, hosts, "resolve", { ...ask, method: "GET" }, this.#userAgent);
    const algorithm = reference.digest === "" ? "sha256" : parseDigest(reference.digest).algorithm;
    const hash = createHash(algorithm);
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxManifestBytes) {
        throw resourceExhausted(`resolve "${text}": the manifest is larger than ${maxManifestBytes} bytes`);
      }
      hash.update(chunk);
    }
    const digest = `${algorithm}:${hash.digest("hex")}`;
    checkTold(text, reference.digest, digest);
    return { name: formatReference(reference), target: descriptorOf(response, digest, size) };
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
