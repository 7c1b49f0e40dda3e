/**
 * Memory for large requests, used again and again. New memory for every piece of an upload makes V8 collect garbage
 * several times a second, which costs the event loop more than the upload itself.
 */

/** Messages below this are not worth keeping memory for. */
const smallest = 64 << 10;
/** What is kept is a multiple of this, so that messages of about one size share it. */
const step = 64 << 10;
/** Most bytes that are kept. */
const capacity = 8 << 20;
/** Milliseconds without use after which the memory is let go. */
const idleMs = 5_000;

/** Buffers that wait to be used again. */
export class MessageMemory {
  readonly #own = new WeakSet<ArrayBufferLike>();
  readonly #spare: Buffer[] = [];
  #bytes = 0;
  #idle: NodeJS.Timeout | undefined;

  /** `length` bytes with any content. */
  take(length: number): Buffer {
    if (length < smallest) return Buffer.allocUnsafeSlow(length);
    const at = this.#spare.findIndex((buffer) => buffer.length >= length && buffer.length <= 2 * length);
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    if (spare !== undefined) {
      this.#bytes -= spare.length;
      return spare.subarray(0, length);
    }
    const fresh = Buffer.allocUnsafeSlow(Math.ceil(length / step) * step);
    this.#own.add(fresh.buffer);
    return fresh.subarray(0, length);
  }

  /** Gives back what {@link take} returned; nobody may look at it any more. Other buffers are left alone. */
  give(buffer: Buffer): void {
    const memory = buffer.buffer;
    if (!this.#own.has(memory) || this.#bytes + memory.byteLength > capacity) return;
    this.#spare.push(Buffer.from(memory));
    this.#bytes += memory.byteLength;
    if (this.#idle === undefined) this.#idle = setTimeout(() => this.#release(), idleMs).unref();
    else this.#idle.refresh();
  }

  #release(): void {
    this.#idle = undefined;
    this.#spare.length = 0;
    this.#bytes = 0;
  }
}

/** Shared by all calls of the process. */
export const messageMemory: MessageMemory = new MessageMemory();
