/**
 * Large blobs in pieces: several ranges on their way at once, handed out in order. Memory is bounded by the pieces.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { FetchedContent } from "@ctrd/core/remotes";
import type { OpenContent, OpenRange } from "./open-range.ts";
import { checkSize } from "./open-range.ts";

const pieceSize = 8n << 20n;
const maxTries = 5;

/** Fetches `length` bytes from `offset` in pieces; a server without ranges is read as one stream. */
export async function fetchInParallel(
  ctx: CallContext,
  descriptor: Descriptor,
  offset: bigint,
  length: bigint,
  pieces: number,
  open: OpenContent,
): Promise<FetchedContent> {
  const first = await open(offset, pieceSize < length ? pieceSize : length);
  checkSize(descriptor, first);
  const hasRanges = first.offset === offset && (offset > 0n || first.size !== undefined);
  return {
    offset: first.offset,
    size: first.size,
    served: first.served,
    [Symbol.asyncIterator]: () =>
      hasRanges
        ? readPieces(ctx, descriptor, offset, offset + length, pieces, first, open)
        : first.body[Symbol.asyncIterator](),
  };
}

async function* readPieces(
  ctx: CallContext,
  descriptor: Descriptor,
  start: bigint,
  end: bigint,
  pieces: number,
  first: OpenRange,
  open: OpenContent,
): AsyncGenerator<Uint8Array> {
  const abort = new AbortController();
  const signal = AbortSignal.any([ctx.signal, abort.signal]);
  const window: Promise<Buffer>[] = [];
  let next = start;
  const more = (opened?: OpenRange): void => {
    if (next >= end) return;
    const from = next;
    const length = end - from < pieceSize ? end - from : pieceSize;
    next += length;
    const piece = readPiece(descriptor, from, length, signal, open, opened);
    // Awaited in its turn; until then a failure is no unhandled rejection.
    piece.catch(() => {});
    window.push(piece);
  };
  try {
    more(first);
    while (window.length < pieces && next < end) more();
    for (let piece = window.shift(); piece !== undefined; piece = window.shift()) {
      const bytes = await piece;
      more();
      yield bytes;
    }
  } finally {
    abort.abort(new Error("the fetch has ended"));
  }
}

/** One piece, from where it broke off when it did. */
async function readPiece(
  descriptor: Descriptor,
  from: bigint,
  length: bigint,
  signal: AbortSignal,
  open: OpenContent,
  opened: OpenRange | undefined,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Number(length));
  let filled = 0;
  let current = opened;
  for (let tries = 1; ; tries++) {
    try {
      current ??= await open(from + BigInt(filled), length - BigInt(filled));
      const cancel = current.cancel;
      signal.addEventListener("abort", cancel, { once: true });
      try {
        for await (const chunk of current.body) {
          signal.throwIfAborted();
          filled += chunk.copy(bytes, filled, 0, Math.min(chunk.length, bytes.length - filled));
          if (filled === bytes.length) return bytes;
        }
      } finally {
        signal.removeEventListener("abort", cancel);
        if (filled < bytes.length) cancel();
      }
      throw unavailable(`fetch ${descriptor.digest}: a piece ends after ${filled} of ${bytes.length} bytes`);
    } catch (error) {
      if (signal.aborted || tries >= maxTries) {
        throw unavailable(`fetch ${descriptor.digest}, at byte ${from + BigInt(filled)}: ${messageOf(error)}`, {
          cause: error,
        });
      }
      current = undefined;
    }
  }
}
