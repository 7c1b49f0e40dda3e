import type { ContentDefinition, ReadContentResponse } from "@ctrd/api/services/content/v1/content";
import type { ContentReader } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { dataLoss, failedPrecondition, outOfRange } from "@ctrd/core/errors";
import { answered } from "../required.ts";
import type { RpcClient } from "../rpc/index.ts";

/**
 * Opens a blob of a remote store. Reads in order share one Read stream, which runs ahead of the reader by a chunk or
 * two; a read elsewhere starts another.
 */
export async function openRemoteReader(
  client: RpcClient<ContentDefinition>,
  ctx: CallContext,
  digest: string,
): Promise<ContentReader> {
  const info = answered((await client.info(ctx, { digest })).info, "info");
  return new RemoteReader(client, ctx, digest, info.size);
}

/** The read that goes on. */
interface Stream {
  readonly messages: AsyncIterator<ReadContentResponse>;
  /** Where in the blob the next byte is. */
  offset: bigint;
  /** Received, not yet asked for. */
  left: Uint8Array;
}

class RemoteReader implements ContentReader {
  readonly size: bigint;
  readonly #client: RpcClient<ContentDefinition>;
  readonly #ctx: CallContext;
  readonly #digest: string;
  #stream: Stream | undefined;
  #closed = false;
  /** Reads take turns: they share the stream. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(client: RpcClient<ContentDefinition>, ctx: CallContext, digest: string, size: bigint) {
    this.#client = client;
    this.#ctx = ctx;
    this.#digest = digest;
    this.size = size;
  }

  read(offset: bigint, length: number): Promise<Uint8Array> {
    const result = this.#turn.then(() => this.#read(offset, length));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#drop();
  }

  async #read(offset: bigint, length: number): Promise<Uint8Array> {
    if (this.#closed) throw failedPrecondition(`read "${this.#digest}": the reader is closed`);
    if (offset < 0n) throw outOfRange(`read "${this.#digest}": offset ${offset} is negative`);
    if (offset >= this.size || length <= 0) return new Uint8Array(0);
    const wanted = this.size - offset < BigInt(length) ? Number(this.size - offset) : length;
    if (this.#stream?.offset !== offset) {
      await this.#drop();
      this.#stream = { messages: this.#start(offset), offset, left: new Uint8Array(0) };
    }
    const stream = this.#stream;
    try {
      return await this.#take(stream, wanted);
    } catch (error) {
      this.#stream = undefined;
      throw error;
    }
  }

  #start(offset: bigint): AsyncIterator<ReadContentResponse> {
    return this.#client.read(this.#ctx, { digest: this.#digest, offset, size: 0n })[Symbol.asyncIterator]();
  }

  async #take(stream: Stream, wanted: number): Promise<Uint8Array> {
    if (stream.left.length === 0) stream.left = await this.#next(stream);
    if (stream.left.length >= wanted) return advance(stream, wanted);
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < wanted) {
      if (stream.left.length === 0) stream.left = await this.#next(stream);
      const part = advance(stream, Math.min(wanted - have, stream.left.length));
      parts.push(part);
      have += part.length;
    }
    return Buffer.concat(parts, wanted);
  }

  async #next(stream: Stream): Promise<Uint8Array> {
    for (;;) {
      const result = await stream.messages.next();
      if (result.done === true) {
        throw dataLoss(`read "${this.#digest}": it ended at ${stream.offset} of ${this.size} bytes`);
      }
      if (result.value.data.length > 0) return result.value.data;
    }
  }

  async #drop(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.messages.return?.();
  }
}

function advance(stream: Stream, count: number): Uint8Array {
  const part = stream.left.subarray(0, count);
  stream.left = stream.left.subarray(count);
  stream.offset += BigInt(count);
  return part;
}
