import type { ReadContentRequest } from "@ctrd/api/services/content/v1/content";
import type { CallContext } from "@ctrd/core/context";
import { dataLoss, outOfRange } from "@ctrd/core/errors";
import type { EncodedMessage } from "../rpc/index.ts";
import type { BufferedReader } from "./buffered-reader.ts";
import type { IdleReaders } from "./idle-readers.ts";
import type { ReadFrame } from "./read-frames.ts";

/** Most bytes of one message of a Read stream. */
export const readChunkSize: number = 1 << 20;

/**
 * Answers a Read: chunks of at most 1 MiB, with offsets that count from the start of the answer. A negative offset is
 * 0; a size that is not positive, or reaches past the end, means up to the end.
 *
 * @throws ContainerdError `not-found`, `out-of-range` for an offset behind the end
 */
export async function* readContent(
  readers: IdleReaders,
  ctx: CallContext,
  request: ReadContentRequest,
): AsyncGenerator<EncodedMessage> {
  const reader = await readers.acquire(ctx, request.digest);
  let reachesEnd = true;
  try {
    const start = request.offset < 0n ? 0n : request.offset;
    if (start > reader.size) {
      throw outOfRange(`read "${request.digest}": offset ${start} is behind its end at ${reader.size}`);
    }
    const rest = reader.size - start;
    const length = request.size <= 0n || request.size > rest ? rest : request.size;
    reachesEnd = length === rest;
    yield* chunks(reader, start, length, request.digest);
  } finally {
    // Whoever asks for a piece will ask for the next one.
    await readers.release(ctx, request.digest, reader, !reachesEnd);
  }
}

/** Reads one chunk ahead of the peer: the disk works while the socket does. */
async function* chunks(
  reader: BufferedReader,
  start: bigint,
  length: bigint,
  digest: string,
): AsyncGenerator<EncodedMessage> {
  const frames = reader.frames(length < BigInt(readChunkSize) ? Number(length) : readChunkSize);
  const readAt = (offset: bigint): Promise<ReadFrame> => {
    const read = frames.fill(offset, length - offset, (target) => reader.read(start + offset, target));
    // It is awaited when the chunk before it is sent; until then a failure must not count as unhandled.
    read.catch(() => {});
    return read;
  };
  let ahead = readAt(0n);
  let done = 0n;
  try {
    while (done < length) {
      const chunk = await ahead;
      if (chunk.count === 0) throw dataLoss(`read "${digest}": it ends at ${start + done} of ${reader.size} bytes`);
      done += BigInt(chunk.count);
      if (done < length) ahead = readAt(done);
      yield chunk;
    }
  } finally {
    // The read ahead of a peer that left must end before the reader closes, and its failure concerns nobody.
    await ahead.catch(() => undefined);
  }
}
