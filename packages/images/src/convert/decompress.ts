/**
 * Decompressing a stream that begins as it will: plain, gzip of any number of members, zstd of any number of frames.
 *
 * @module
 */
import { once } from "node:events";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { detectCompression } from "@ctrd/archive";
import { ContainerdError, invalidArgument, messageOf } from "@ctrd/core/errors";

const chunkSize = 1 << 20;
/** Enough that decompression goes on while what it gave is being used. */
const streamOptions = { chunkSize, readableHighWaterMark: 3 * chunkSize };

/**
 * The plain bytes. A chunk is valid until the next is asked for.
 *
 * @throws ContainerdError `invalid-argument` for damaged or truncated compression
 */
export async function* decompressed(source: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  const first = await source.next();
  if (first.done === true) return;
  const compression = detectCompression(first.value);
  const whole = startingWith(first.value, source);
  if (compression === "none") yield* whole;
  else yield* compression === "gzip" ? gunzipped(whole) : unzstded(whole);
}

async function* startingWith(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* { [Symbol.asyncIterator]: () => rest };
}

async function* gunzipped(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip(streamOptions);
  const input = Readable.from(source, { objectMode: false });
  input.on("error", (error) => gunzip.destroy(error));
  input.pipe(gunzip);
  try {
    yield* gunzip as AsyncIterable<Buffer>;
  } catch (error) {
    throw damaged("gzip", error);
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}

/** Node's decompressor ends with the first frame that does not end with a chunk; what is left over goes to another. */
async function* unzstded(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const next = async (): Promise<Buffer | undefined> => {
    const result = await source.next();
    return result.done === true ? undefined : result.value;
  };
  for (let chunk = await next(); chunk !== undefined; chunk ??= await next()) {
    const frames = new ZstdFrames(chunk, next);
    chunk = yield* frames.read();
  }
}

/** Frames up to one that ends in the middle of a chunk. */
class ZstdFrames {
  readonly #decompressor: ReturnType<typeof createZstdDecompress> = createZstdDecompress(streamOptions);
  readonly #next: () => Promise<Buffer | undefined>;
  #chunk: Buffer;
  /** Bytes given to the decompressor before the current chunk. */
  #before = 0;

  constructor(first: Buffer, next: () => Promise<Buffer | undefined>) {
    this.#chunk = first;
    this.#next = next;
  }

  /** @returns what is left over of the last chunk */
  async *read(): AsyncGenerator<Buffer, Buffer | undefined> {
    const feeding = this.#feed();
    // Told by the decompressor's own failure; the source's is passed on to it.
    feeding.catch((error: unknown) => this.#decompressor.destroy(error instanceof Error ? error : undefined));
    try {
      yield* this.#decompressor as AsyncIterable<Buffer>;
    } catch (error) {
      throw damaged("zstd", error);
    } finally {
      this.#decompressor.destroy();
    }
    await feeding;
    const left = this.#chunk.subarray(this.#decompressor.bytesWritten - this.#before);
    return left.length === 0 ? undefined : left;
  }

  async #feed(): Promise<void> {
    const ended = Promise.race([once(this.#decompressor, "end"), once(this.#decompressor, "close")]);
    let isOver = false;
    const over = (): void => void (isOver = true);
    ended.then(over, over);
    for (;;) {
      const chunk = this.#chunk;
      const taken = new Promise<void>((resolve) => this.#decompressor.write(chunk, () => resolve()));
      await Promise.race([taken, ended.catch(() => {})]);
      // The end is told after the frame's last bytes were read, which may be after the chunk was taken.
      if (isOver || this.#decompressor.bytesWritten < this.#before + chunk.length) return;
      const following = await this.#next();
      if (following === undefined) break;
      this.#before += chunk.length;
      this.#chunk = following;
    }
    this.#decompressor.end();
  }
}

/** What the source failed with is told as it is. */
function damaged(compression: string, error: unknown): Error {
  if (error instanceof ContainerdError) return error;
  return invalidArgument(`${compression}: ${messageOf(error)}`, { cause: error });
}
