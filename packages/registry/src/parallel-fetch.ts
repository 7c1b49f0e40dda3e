/**
 * Large blobs in pieces: several ranges on their way at once, handed out in order. Memory is bounded by the pieces.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, kindOf, messageOf, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { OpenContent, OpenRange } from "./open-range.ts";

/** How often a piece may break without a byte in between. */
const maxTries = 5;
const pauseMs = 100;

/** What is read in pieces. */
export interface PiecewiseRead {
  readonly descriptor: Descriptor;
  readonly start: bigint;
  readonly end: bigint;
  /** Pieces at once, and the bytes of each. */
  readonly pieces: number;
  readonly pieceSize: bigint;
  readonly open: OpenContent;
}

/** Reads pieces; `first` is open already, from `start`. */
export async function* readPieces(
  ctx: CallContext,
  read: PiecewiseRead,
  first: OpenRange,
): AsyncGenerator<Uint8Array, void, undefined> {
  const abort = new AbortController();
  const signal = AbortSignal.any([ctx.signal, abort.signal]);
  const window: Piece[] = [];
  let next = read.start;
  const more = (opened?: OpenRange): void => {
    if (next >= read.end) return;
    const from = next;
    const length = read.end - from < read.pieceSize ? read.end - from : read.pieceSize;
    next += length;
    window.push(new Piece((piece) => readPiece(piece, read, from, Number(length), signal, opened)));
  };
  try {
    more(first);
    while (window.length < read.pieces && next < read.end) more();
    for (let [piece] = window; piece !== undefined; [piece] = window) {
      yield* piece.chunks();
      window.shift();
      more();
    }
  } finally {
    abort.abort(new Error("the fetch has ended"));
    await Promise.all(window.map((piece) => piece.ended));
  }
}

/** Bytes that came and were not handed out yet: a piece at most. */
class Piece {
  /** Resolves when nothing comes any more; never rejects. */
  readonly ended: Promise<void>;
  #queue: Buffer[] = [];
  #isEnded = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(read: (piece: Piece) => Promise<void>) {
    this.ended = read(this)
      .catch((error: unknown) => void (this.#failure = error))
      .then(() => {
        this.#isEnded = true;
        this.#wake?.();
      });
  }

  push(chunk: Buffer): void {
    this.#queue.push(chunk);
    this.#wake?.();
  }

  /** What there is and what comes. @throws what the reading failed with */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const ready = this.#queue;
      this.#queue = [];
      yield* ready;
      if (this.#queue.length > 0) continue;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** One piece, from where it broke off when it did. */
async function readPiece(
  piece: Piece,
  { descriptor, open }: PiecewiseRead,
  from: bigint,
  length: number,
  signal: AbortSignal,
  opened: OpenRange | undefined,
): Promise<void> {
  let filled = 0;
  let current = opened;
  for (let tries = 1; ; tries++) {
    const before = filled;
    try {
      const at = from + BigInt(filled);
      current ??= await open(at, BigInt(length - filled), signal);
      for await (const chunk of withAbort(current, Number(at - current.offset), signal)) {
        const wanted = chunk.subarray(0, length - filled);
        filled += wanted.length;
        if (wanted.length > 0) piece.push(wanted);
        // What a server without ranges sends beyond the piece is not waited for.
        if (filled === length && !current.isPart) break;
      }
      if (filled === length) return;
      throw unavailable(`a piece ends after ${filled} of ${length} bytes`);
    } catch (error) {
      signal.throwIfAborted();
      if (filled > before) tries = 0;
      if (tries >= maxTries) throw broken(descriptor, from + BigInt(filled), error);
      await sleep(pauseMs * tries, undefined, { signal });
      current = undefined;
    }
  }
}

/** The body without its first `skip` bytes; it is left when `signal` is aborted. */
async function* withAbort(source: OpenRange, skip: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  signal.addEventListener("abort", source.cancel, { once: true });
  try {
    if (signal.aborted) source.cancel();
    for await (const chunk of source.body) {
      signal.throwIfAborted();
      const fresh = chunk.subarray(skip);
      skip -= chunk.length - fresh.length;
      if (fresh.length > 0) yield fresh;
    }
  } finally {
    signal.removeEventListener("abort", source.cancel);
  }
}

function broken(descriptor: Descriptor, at: bigint, error: unknown): Error {
  const kind = kindOf(error) === "unknown" ? "unavailable" : kindOf(error);
  return new ContainerdError(kind, `fetch ${descriptor.digest}, at byte ${at}: ${messageOf(error)}`, { cause: error });
}
