/**
 * Archives that may be compressed.
 *
 * @module
 */
import { detectCompression } from "@ctrd/archive";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

/** Bytes that tell how a stream is compressed. */
const magicLength = 16;

/** The bytes of a stream, decompressed when it begins like gzip or zstd. */
export async function* uncompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  // The first piece may be too short to tell.
  let start = Buffer.alloc(0);
  while (start.length < magicLength) {
    const next = await iterator.next();
    if (next.done === true) break;
    start = Buffer.concat([start, next.value]);
  }
  const whole = (async function* (): AsyncGenerator<Uint8Array> {
    yield start;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
  const compression = detectCompression(start);
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
