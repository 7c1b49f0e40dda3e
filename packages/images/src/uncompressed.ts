/**
 * Archives that may be compressed.
 *
 * @module
 */
import { detectCompression } from "@ctrd/archive";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

/** The bytes of a stream, decompressed when it begins like gzip or zstd. */
export async function* uncompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) return;
  const whole = (async function* (): AsyncGenerator<Uint8Array> {
    yield first.value;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
  const compression = detectCompression(Buffer.from(first.value));
  if (compression === "none") {
    yield* whole;
    return;
  }
  const decompressor = compression === "gzip" ? createGunzip() : createZstdDecompress();
  const input = Readable.from(whole, { objectMode: false });
  input.on("error", (error) => decompressor.destroy(error));
  input.pipe(decompressor);
  try {
    yield* decompressor as AsyncIterable<Buffer>;
  } catch (error) {
    throw invalidArgument(`archive: ${compression}: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
  }
}
