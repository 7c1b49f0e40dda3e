/**
 * The fetcher: content of one repository, from the first host that has it, resumed when it breaks off.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { invalidArgument, isKind, messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ByteRange, FetchedContent, Fetcher, RemoteDescriptor } from "@ctrd/core/remotes";
import type { RegistryHost } from "./hosts.ts";
import { foreignHost } from "./hosts.ts";
import { isManifestType } from "./media-types.ts";
import type { OpenContent, OpenRange } from "./open-range.ts";
import { checkSize, openRange } from "./open-range.ts";
import { readPieces } from "./parallel-fetch.ts";
import type { Reference } from "@ctrd/core/references";
import { referrersOf } from "./referrers.ts";
import { askHosts } from "./requests.ts";
import { readOn } from "./resume.ts";
import { pullScope } from "./scopes.ts";
import type { ApiRequest } from "./send.ts";

/** How blobs are fetched. */
export interface FetchSettings {
  /** Blobs of at least this many bytes are fetched in pieces at once; 0: never. By default 64 MiB. */
  parallelMinimum?: number;
  /** Pieces at once; by default 4. */
  parallelPieces?: number;
  /** Bytes of a piece, which are held in memory; by default 4 MiB. */
  pieceSize?: number;
}

/** Blobs of one image that are read in pieces at the same time. */
const maxInPieces = 2;

/** Content of one repository. */
export class RegistryFetcher implements Fetcher {
  readonly #reference: Reference;
  readonly #hosts: readonly RegistryHost[];
  readonly #userAgent: string;
  readonly #settings: FetchSettings;
  readonly #pieceSize: bigint;
  #inPieces = 0;

  constructor(reference: Reference, hosts: readonly RegistryHost[], userAgent: string, settings: FetchSettings) {
    this.#reference = reference;
    this.#hosts = hosts;
    this.#userAgent = userAgent;
    this.#settings = settings;
    this.#pieceSize = BigInt(settings.pieceSize ?? 4 << 20);
  }

  async fetch(
    ctx: CallContext,
    descriptor: RemoteDescriptor,
    range: ByteRange = { offset: 0n },
  ): Promise<FetchedContent> {
    if (descriptor.size === 0n) throw invalidArgument(`fetch ${descriptor.digest}: the descriptor's size is 0`);
    const { parallelMinimum = 64 << 20, parallelPieces = 4 } = this.#settings;
    const open: OpenContent = (from, length, signal) =>
      this.#open(signal === undefined ? ctx : withSignal(ctx, signal), descriptor, from, length);
    const wanted = range.length ?? descriptor.size - range.offset;
    const large = parallelMinimum > 0 && wanted >= BigInt(parallelMinimum) && !isManifestType(descriptor.mediaType);
    // Pieces are kept in memory, so of many large blobs at once only some are read so.
    if (large && wanted > this.#pieceSize && this.#inPieces < maxInPieces) {
      return this.#fetchInPieces(ctx, descriptor, range, wanted, parallelPieces, open);
    }
    return this.#opened(ctx, descriptor, range, await open(range.offset, range.length), open);
  }

  async #fetchInPieces(
    ctx: CallContext,
    descriptor: RemoteDescriptor,
    range: ByteRange,
    wanted: bigint,
    pieces: number,
    open: OpenContent,
  ): Promise<FetchedContent> {
    this.#inPieces++;
    try {
      const first = await open(range.offset, this.#pieceSize);
      const content = this.#opened(ctx, descriptor, range, first, open);
      if (!first.isPart || first.offset !== range.offset) return content;
      const [start, size] = [range.offset, this.#pieceSize];
      const piecewise = { descriptor, start, end: start + wanted, pieces, pieceSize: size, open };
      this.#inPieces++;
      return { ...content, [Symbol.asyncIterator]: () => this.#count(readPieces(ctx, piecewise, first)) };
    } finally {
      this.#inPieces--;
    }
  }

  #opened(
    ctx: CallContext,
    descriptor: RemoteDescriptor,
    range: ByteRange,
    first: OpenRange,
    open: OpenContent,
  ): FetchedContent {
    checkSize(descriptor, first);
    const { offset, size, served } = first;
    return { offset, size, served, [Symbol.asyncIterator]: () => readOn(ctx, descriptor, range, first, open) };
  }

  async *#count(pieces: AsyncGenerator<Uint8Array, void, undefined>): AsyncGenerator<Uint8Array> {
    try {
      yield* pieces;
    } finally {
      this.#inPieces--;
    }
  }

  referrers(ctx: CallContext, digest: string, artifactType?: string): Promise<Descriptor[]> {
    return referrersOf(ctx, this.#reference, this.#hosts, this.#userAgent, digest, artifactType);
  }

  async #open(ctx: CallContext, descriptor: RemoteDescriptor, from: bigint, length?: bigint): Promise<OpenRange> {
    const { repository, host: origin } = this.#reference;
    const end = length === undefined ? "" : String(from + length - 1n);
    const headers = {
      // Ranges and sizes are of the content itself.
      "accept-encoding": "identity",
      accept: descriptor.mediaType === "" ? "*/*" : `${descriptor.mediaType}, */*`,
      ...(from > 0n || length !== undefined ? { range: `bytes=${from}-${end}` } : {}),
    };
    const action = `fetch ${descriptor.digest} of ${origin}/${repository}`;
    const ask = (path: string | URL): ApiRequest => {
      return { method: "GET", path, headers, scopes: [pullScope(repository)], origin, action };
    };
    for (const text of descriptor.urls ?? []) {
      const url = httpUrl(text);
      if (url === undefined) continue;
      try {
        const { response, served } = await askHosts(ctx, [foreignHost(url)], "pull", ask(url), this.#userAgent);
        return await openRange(response, served, from, descriptor);
      } catch (error) {
        if (ctx.signal.aborted) throw error;
        // The repository may have it as well.
        ctx.log.debug({ digest: descriptor.digest, url: text, err: messageOf(error) }, "content not at its URL");
      }
    }
    // A descriptor that came from a digest alone may name either.
    const unknownType = descriptor.mediaType === "" || descriptor.mediaType === "application/octet-stream";
    const others = unknownType ? ["blobs", "manifests"] : ["blobs"];
    const kinds = isManifestType(descriptor.mediaType) ? ["manifests", "blobs"] : others;
    let failure: unknown;
    for (const kind of kinds) {
      try {
        const path = `/${repository}/${kind}/${descriptor.digest}`;
        const { response, served } = await askHosts(ctx, this.#hosts, "pull", ask(path), this.#userAgent);
        return await openRange(response, served, from, descriptor);
      } catch (error) {
        failure ??= error;
        if (!isKind(error, "not-found")) throw error;
      }
    }
    throw failure;
  }
}

function httpUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === "https:" || url?.protocol === "http:" ? url : undefined;
}
