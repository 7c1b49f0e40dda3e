/**
 * Writes frames to a connection. What is written during one turn of the event loop leaves together.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { defaultMaxFrameSize, FrameFlag, frameHeaderLength, FrameType } from "./frame.ts";

/** Size of the memory in which small frames are put together. */
const slabSize = 16 << 10;
/** Data below this is copied behind its header. */
const copyLimit = 4 << 10;

/** Writes the frames of one connection. */
export class FrameWriter {
  readonly #socket: Duplex;
  #slab: Buffer = Buffer.alloc(0);
  /** What of the slab has been handed to the socket, and what is used. */
  #start = 0;
  #end = 0;
  #pieces: Buffer[] = [];
  #sent: (() => void)[] = [];
  #scheduled = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Bytes that the peer has not taken. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  /** A frame with a payload of some bytes. */
  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    this.#header(payload.length, type, flags, streamId);
    this.#copy(payload);
  }

  /** A frame with one or two numbers of 32 bits. */
  numbers(type: number, streamId: number, first: number, second?: number): void {
    const length = second === undefined ? 4 : 8;
    this.#header(length, type, 0, streamId);
    const slab = this.#reserve(length);
    this.#end = slab.writeUInt32BE(first, this.#end);
    if (second !== undefined) this.#end = slab.writeUInt32BE(second, this.#end);
  }

  /** A list of headers, in as many frames as it needs. */
  headers(streamId: number, block: Buffer, endStream: boolean): void {
    const end = endStream ? FrameFlag.EndStream : 0;
    let at = Math.min(block.length, defaultMaxFrameSize);
    const complete = at === block.length ? FrameFlag.EndHeaders : 0;
    this.frame(FrameType.Headers, end | complete, streamId, block.subarray(0, at));
    while (at < block.length) {
      const next = Math.min(block.length, at + defaultMaxFrameSize);
      const flags = next === block.length ? FrameFlag.EndHeaders : 0;
      this.frame(FrameType.Continuation, flags, streamId, block.subarray(at, next));
      at = next;
    }
  }

  /** The header of a DATA frame; `length` bytes must follow by {@link payload}. */
  dataHeader(streamId: number, length: number): void {
    this.#header(length, FrameType.Data, 0, streamId);
  }

  /** A piece of data. It is not copied when it is large, and must stay as it is until it is sent. */
  payload(piece: Buffer): void {
    if (piece.length < copyLimit) {
      this.#copy(piece);
      return;
    }
    this.#seal();
    this.#pieces.push(piece);
  }

  /** Calls `listener` when all that was written before has left. Not when the connection breaks before. */
  whenSent(listener: () => void): void {
    this.#sent.push(listener);
    this.#schedule();
  }

  #header(length: number, type: number, flags: number, streamId: number): void {
    const slab = this.#reserve(frameHeaderLength);
    const at = this.#end;
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = type;
    slab[at + 4] = flags;
    this.#end = slab.writeUInt32BE(streamId, at + 5);
    this.#schedule();
  }

  #copy(bytes: Buffer): void {
    if (bytes.length > slabSize) {
      this.#seal();
      this.#pieces.push(bytes);
      return;
    }
    const slab = this.#reserve(bytes.length);
    bytes.copy(slab, this.#end);
    this.#end += bytes.length;
  }

  /** Makes room in the slab. */
  #reserve(length: number): Buffer {
    if (this.#slab.length - this.#end >= length) return this.#slab;
    this.#seal();
    this.#slab = Buffer.allocUnsafeSlow(slabSize);
    this.#start = 0;
    this.#end = 0;
    return this.#slab;
  }

  /** What is in the slab comes before what follows. */
  #seal(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(this.flush);
  }

  /** Hands everything to the socket. */
  readonly flush = (): void => {
    this.#scheduled = false;
    this.#seal();
    const [pieces, sent] = [this.#pieces, this.#sent];
    this.#pieces = [];
    this.#sent = [];
    if (!this.#socket.writable) return;
    const done = sent.length === 0 ? undefined : (error?: Error | null) => callAll(sent, error);
    const last = pieces.length - 1;
    if (last > 0) this.#socket.cork();
    pieces.forEach((piece, index) => this.#socket.write(piece, index === last ? done : undefined));
    if (last > 0) this.#socket.uncork();
    if (last < 0) done?.();
  };
}

function callAll(listeners: readonly (() => void)[], error: Error | null | undefined): void {
  if (error) return;
  for (const listener of listeners) listener();
}
