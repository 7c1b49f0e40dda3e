import type { ContentDefinition } from "@ctrd/api/services/content/v1/content";
import type { ContentReader } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { canceled, dataLoss, failedPrecondition, outOfRange } from "@ctrd/core/errors";
import { answered } from "../required.ts";
import type { RpcClient } from "../rpc/index.ts";

/**
 * Opens a blob of a remote store. Each read is a call of its own, which is received whole: an open stream that nobody
 * reads would fill the window of the connection, and whatever else goes over it, such as the answers to a write of what
 * was read, would wait without end. Reads in order find the next piece received already.
 */
export async function openRemoteReader(
  client: RpcClient<ContentDefinition>,
  ctx: CallContext,
  digest: string,
): Promise<ContentReader> {
  const info = answered((await client.info(ctx, { digest })).info, "info");
  return new RemoteReader(client, ctx, digest, info.size);
}

/** A piece that was asked for before it is wanted. */
interface Ahead {
  readonly offset: bigint;
  readonly length: number;
  readonly data: Promise<Uint8Array>;
}

class RemoteReader implements ContentReader {
  readonly size: bigint;
  readonly #client: RpcClient<ContentDefinition>;
  readonly #ctx: CallContext;
  readonly #digest: string;
  readonly #end = new AbortController();
  #ahead: Ahead | undefined;
  /** Where the last read ended. */
  #next = 0n;

  constructor(client: RpcClient<ContentDefinition>, ctx: CallContext, digest: string, size: bigint) {
    this.#client = client;
    this.#ctx = withSignal(ctx, this.#end.signal);
    this.#digest = digest;
    this.size = size;
  }

  async read(offset: bigint, length: number): Promise<Uint8Array> {
    if (this.#end.signal.aborted) throw failedPrecondition(`read "${this.#digest}": the reader is closed`);
    if (offset < 0n) throw outOfRange(`read "${this.#digest}": offset ${offset} is negative`);
    const wanted = this.#bounded(offset, length);
    if (wanted === 0) return new Uint8Array(0);
    const known = this.#ahead?.offset === offset && this.#ahead.length === wanted ? this.#ahead.data : undefined;
    const isNext = offset === this.#next;
    this.#next = offset + BigInt(wanted);
    const data = known ?? this.#fetch(offset, wanted);
    if (isNext) this.#ahead = this.#askAhead(this.#next, this.#bounded(this.#next, wanted));
    return data;
  }

  async close(): Promise<void> {
    this.#end.abort(canceled(`read "${this.#digest}": the reader was closed`));
    this.#ahead = undefined;
  }

  /** As many of `length` bytes as there are from `offset`. */
  #bounded(offset: bigint, length: number): number {
    if (offset >= this.size || length <= 0) return 0;
    return this.size - offset < BigInt(length) ? Number(this.size - offset) : length;
  }

  #askAhead(offset: bigint, length: number): Ahead | undefined {
    if (length === 0) return undefined;
    const data = this.#fetch(offset, length);
    // Told to whoever asks for it, if anybody does.
    data.catch(() => {});
    return { offset, length, data };
  }

  async #fetch(offset: bigint, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let have = 0;
    const request = { digest: this.#digest, offset, size: BigInt(length) };
    for await (const { data } of this.#client.read(this.#ctx, request)) {
      parts.push(data);
      have += data.length;
    }
    if (have === length) return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, have);
    throw dataLoss(`read "${this.#digest}": it ended at ${offset + BigInt(have)} of ${this.size} bytes`);
  }
}
