import type { ReadContentRequest, ReadContentResponse } from "@ctrd/api/services/content/v1/content";
import type { ContentProvider, ContentReader } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { dataLoss, outOfRange } from "@ctrd/core/errors";

/** Most bytes of one message of a Read stream. */
export const readChunkSize: number = 1 << 20;

/**
 * Answers a Read: chunks of at most 1 MiB, with offsets that count from the start of the answer. A negative offset is
 * 0; a size that is not positive, or reaches past the end, means up to the end.
 *
 * @throws ContainerdError `not-found`, `out-of-range` for an offset behind the end
 */
export async function* readContent(
  store: ContentProvider,
  ctx: CallContext,
  request: ReadContentRequest,
): AsyncGenerator<ReadContentResponse> {
  const reader = await store.reader(ctx, request.digest);
  try {
    const start = request.offset < 0n ? 0n : request.offset;
    if (start > reader.size) {
      throw outOfRange(`read "${request.digest}": offset ${start} is behind its end at ${reader.size}`);
    }
    const rest = reader.size - start;
    const length = request.size <= 0n || request.size > rest ? rest : request.size;
    yield* chunks(reader, start, length, request.digest);
  } finally {
    await reader.close();
  }
}

/** Reads one chunk ahead of the peer: the disk works while the socket does. */
async function* chunks(
  reader: ContentReader,
  start: bigint,
  length: bigint,
  digest: string,
): AsyncGenerator<ReadContentResponse> {
  // A message is encoded when it is sent, so two buffers take turns: one is sent, one is filled.
  const size = Math.min(readChunkSize, Number(length));
  const buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)] as const;
  let turn: 0 | 1 = 0;
  const readAt = (offset: bigint): Promise<Uint8Array> => {
    const left = length - offset;
    if (left <= 0n) return Promise.resolve(new Uint8Array(0));
    turn = turn === 0 ? 1 : 0;
    const read = reader.read(start + offset, left > BigInt(size) ? size : Number(left), buffers[turn]);
    // It is awaited when the chunk before it is sent; until then a failure must not count as unhandled.
    read.catch(() => {});
    return read;
  };
  let ahead = readAt(0n);
  let done = 0n;
  try {
    while (done < length) {
      const data = await ahead;
      if (data.length === 0) throw dataLoss(`read "${digest}": it ends at ${start + done} of ${reader.size} bytes`);
      const offset = done;
      done += BigInt(data.length);
      ahead = readAt(done);
      yield { offset, data };
    }
  } finally {
    // The read ahead of a peer that left must end before the reader closes, and its failure concerns nobody.
    await ahead.catch(() => undefined);
  }
}
