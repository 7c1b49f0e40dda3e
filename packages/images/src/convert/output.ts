/**
 * The result of a worker: gathered into large blocks, which are given away.
 *
 * @module
 */

/** Takes a block of the result, whose memory is its own; resolves when there is room for more. */
export type BlockSink = (block: Uint8Array<ArrayBuffer>) => Promise<void>;

const blockSize = 1 << 20;

/** Gathers pieces into blocks. */
export class BlockWriter {
  readonly #sink: BlockSink;
  #block: Uint8Array<ArrayBuffer> = new Uint8Array(blockSize);
  #length = 0;
  /** Bytes so far. */
  size = 0;

  constructor(sink: BlockSink) {
    this.#sink = sink;
  }

  async write(data: Uint8Array): Promise<void> {
    this.size += data.length;
    for (let at = 0; at < data.length;) {
      const part = data.subarray(at, at + blockSize - this.#length);
      this.#block.set(part, this.#length);
      this.#length += part.length;
      at += part.length;
      if (this.#length === blockSize) await this.flush();
    }
  }

  async flush(): Promise<void> {
    if (this.#length === 0) return;
    const full = this.#length === blockSize ? this.#block : this.#block.slice(0, this.#length);
    this.#block = new Uint8Array(blockSize);
    this.#length = 0;
    await this.#sink(full);
  }
}
