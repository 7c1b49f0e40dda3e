/**
 * Archives that may be compressed.
 *
 * @module
 */
import { detectCompression } from "@ctrd/archive";
import { resourceExhausted } from "@ctrd/core/errors";
import { decompressed } from "./convert/decompress.ts";

/** Limits against archives made to fill the disk. */
export interface ArchiveLimits {
  /** Most bytes uncompressed; no limit when absent. */
  readonly maxSize?: number;
  /** Most uncompressed bytes for each compressed one, once more than 1 GiB has come; 1100 when absent. */
  readonly maxRatio?: number;
}

/** Bytes that tell how a stream is compressed. */
const magicLength = 16;
/** No ratio is meant below this. */
const ratioFloor = 1 << 30;
/** A little more than gzip can do. */
const defaultRatio = 1_100;

/**
 * The bytes of a stream, decompressed when it begins like gzip or zstd.
 *
 * @throws ContainerdError `invalid-argument` for damaged compression, `resource-exhausted` beyond a limit
 */
export async function* uncompressed(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits = {},
): AsyncGenerator<Uint8Array> {
  const { maxSize = Infinity, maxRatio = defaultRatio } = limits;
  let [taken, given] = [0, 0];
  const whole = startingLong(source, (size) => void (taken += size));
  const first = await whole.next();
  if (first.done === true) return;
  const isCompressed = detectCompression(first.value) !== "none";
  const rest = (async function* (): AsyncGenerator<Buffer> {
    yield first.value;
    yield* whole;
  })();
  for await (const chunk of isCompressed ? decompressed(rest) : rest) {
    given += chunk.length;
    if (given > maxSize) throw resourceExhausted(`archive: it is larger than ${maxSize} bytes uncompressed`);
    if (isCompressed && given > ratioFloor && given > maxRatio * taken) {
      throw resourceExhausted(`archive: it uncompresses to more than ${maxRatio} times as much; unpack it first`);
    }
    // The decompressor goes on using its memory.
    yield isCompressed ? Buffer.from(chunk) : chunk;
  }
}

/** The same bytes in pieces the first of which is long enough to tell what they are. */
async function* startingLong(
  source: AsyncIterable<Uint8Array>,
  count: (size: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  let start: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of source) {
    count(chunk.length);
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    if (start === undefined) {
      yield bytes;
      continue;
    }
    start = Buffer.concat([start, bytes]);
    if (start.length < magicLength) continue;
    yield start;
    start = undefined;
  }
  if (start !== undefined && start.length > 0) yield start;
}
