/**
 * Frames over a socket, or any stream of bytes.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { resourceExhausted } from "@ctrd/core/errors";
import type { FrameSink } from "./frame.ts";
import { encodeFrame, FrameDecoder, frameDataLength, maxFrameLength } from "./frame.ts";

/** Sends and receives frames over one connected socket. */
export class FrameConnection {
  readonly #socket: Duplex;
  #pauses = 0;

  /**
   * @param socket a connected stream; the connection owns it from now on
   * @param sink receives the frames
   * @param onClose called once when the socket is gone
   */
  constructor(socket: Duplex, sink: FrameSink, onClose: (error: Error | undefined) => void) {
    this.#socket = socket;
    const decoder = new FrameDecoder(sink);
    let failure: Error | undefined;
    socket.on("data", (chunk: Buffer) => decoder.push(chunk));
    // Without allowHalfOpen the end of the peer's stream also ends ours.
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("close", () => onClose(failure));
    if (socket.destroyed) queueMicrotask(() => onClose(undefined));
  }

  /** Whether frames can no longer be sent. */
  get closed(): boolean {
    return this.#socket.destroyed || !this.#socket.writable;
  }

  /**
   * Sends one frame; see `encodeFrame` for `envelope`, `field` and `payload`. On a closed socket it is dropped.
   *
   * @returns false when the socket's buffer is full: wait with {@link drained} before sending bulk data
   * @throws ContainerdError `resource-exhausted` when the frame is over 4 MiB
   */
  send(
    streamId: number,
    type: number,
    flags: number,
    envelope: Uint8Array,
    field: number,
    payload: Uint8Array,
  ): boolean {
    const length = frameDataLength(envelope, field, payload);
    if (length > maxFrameLength) {
      throw resourceExhausted(`send ttrpc message: ${length} bytes exceed the limit of ${maxFrameLength} bytes`);
    }
    if (this.closed) return true;
    const [head, tail] = encodeFrame(streamId, type, flags, envelope, field, payload);
    if (head === undefined) return true;
    if (tail === undefined) return this.#socket.write(head);
    this.#socket.cork();
    this.#socket.write(head);
    const room = this.#socket.write(tail);
    this.#socket.uncork();
    return room;
  }

  /** Resolves when the socket takes data again, or is closed. */
  drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.closed) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      this.#socket.off("drain", done);
      this.#socket.off("close", done);
      resolve();
    };
    this.#socket.on("drain", done);
    this.#socket.on("close", done);
    return promise;
  }

  /** Stops reading until as many {@link resume} calls follow. */
  pause(): void {
    if (this.#pauses++ === 0) this.#socket.pause();
  }

  resume(): void {
    if (--this.#pauses === 0 && !this.#socket.destroyed) this.#socket.resume();
  }

  /** Closes after what was sent has been written. */
  end(): void {
    if (this.#pauses > 0) this.#socket.resume();
    if (this.#socket.writableFinished) this.#socket.destroy();
    else this.#socket.once("finish", () => this.#socket.destroy());
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
