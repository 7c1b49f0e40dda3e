/**
 * Writing in steps: what comes from a network comes in small pieces, and each write costs a turn of the event loop, or a
 * message to a store that is elsewhere.
 *
 * @module
 */
import type { ContentWriter } from "@ctrd/core/content";

const stepBytes = 256 << 10;

/** Gathers pieces into steps. A step is written while the next one is gathered. */
export class SteppedWriter {
  readonly #writer: ContentWriter;
  #gathered: Buffer;
  #length = 0;
  #spare: Buffer | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param expected bytes that are to come; fewer than a step need less memory */
  constructor(writer: ContentWriter, expected: bigint) {
    this.#writer = writer;
    this.#gathered = Buffer.allocUnsafe(expected < stepBytes ? Math.max(1, Number(expected)) : stepBytes);
  }

  /** Takes a piece, whose memory may be used again when this resolves. @throws what an earlier write failed with */
  async write(data: Uint8Array): Promise<void> {
    if (data.length >= this.#gathered.length) {
      await this.flush();
      await this.#writer.write(data);
      return;
    }
    for (let at = 0; at < data.length;) {
      const part = data.subarray(at, at + this.#gathered.length - this.#length);
      this.#gathered.set(part, this.#length);
      this.#length += part.length;
      at += part.length;
      if (this.#length === this.#gathered.length) await this.#begin();
    }
  }

  /** Writes what was gathered. */
  async flush(): Promise<void> {
    await this.#begin();
    await this.#writing;
  }

  /** Resolves when nothing is being written, however that ended. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => {});
  }

  async #begin(): Promise<void> {
    await this.#writing;
    if (this.#length === 0) return;
    const full = this.#gathered;
    this.#writing = this.#writer.write(full.subarray(0, this.#length));
    // Whoever writes next, or flushes, hears of a failure.
    this.#writing.catch(() => {});
    this.#gathered = this.#spare ?? Buffer.allocUnsafe(full.length);
    this.#spare = full;
    this.#length = 0;
  }
}
