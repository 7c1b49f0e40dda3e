import type { ContentReader } from "@ctrd/core/content";
import { ReadFrames } from "./read-frames.ts";

/** Bytes that one disk read gives to small reads in order. */
const windowSize = 256 << 10;

/** Reads from this size on go to the disk directly. */
const largeRead = 64 << 10;

/**
 * A reader with a window on the blob: small reads in order ask the disk once for several of them. Blobs never change,
 * so a window never grows stale.
 */
export class BufferedReader {
  readonly #reader: ContentReader;
  #window: Buffer | undefined;
  #windowStart = 0n;
  #windowLength = 0;
  #frames: ReadFrames | undefined;

  constructor(reader: ContentReader) {
    this.#reader = reader;
  }

  get size(): bigint {
    return this.#reader.size;
  }

  /** Whether it reads a local file, which does not depend on the call that opened it. */
  get local(): boolean {
    return this.#reader.path !== undefined;
  }

  /** Buffers for messages of up to `size` bytes of data; the same ones as long as `size` is the same. */
  frames(size: number): ReadFrames {
    if (this.#frames?.size !== size) this.#frames = new ReadFrames(size);
    return this.#frames;
  }

  /** Fills `target` from `offset`, up to the end of the blob; returns what it has filled. */
  async read(offset: bigint, target: Buffer): Promise<Uint8Array> {
    const { length } = target;
    if (length >= largeRead || !this.local) return this.#reader.read(offset, length, target);
    const wanted = this.size - offset < BigInt(length) ? Number(this.size - offset) : length;
    if (!this.#holds(offset, wanted)) await this.#load(offset);
    const at = Number(offset - this.#windowStart);
    const end = Math.min(at + wanted, this.#windowLength);
    const copied = this.#window?.copy(target, 0, at, end) ?? 0;
    return target.subarray(0, copied);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  #holds(offset: bigint, length: number): boolean {
    const at = offset - this.#windowStart;
    return at >= 0n && at + BigInt(length) <= BigInt(this.#windowLength);
  }

  async #load(offset: bigint): Promise<void> {
    const size = this.size < BigInt(windowSize) ? Number(this.size) : windowSize;
    const window = this.#window ?? Buffer.allocUnsafeSlow(size);
    this.#windowLength = 0;
    const data = await this.#reader.read(offset, size, window);
    // A reader may ignore the buffer that it is offered.
    if (data.buffer !== window.buffer || data.byteOffset !== window.byteOffset) window.set(data);
    this.#window = window;
    this.#windowStart = offset;
    this.#windowLength = data.length;
  }
}
