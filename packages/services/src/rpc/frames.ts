/**
 * gRPC messages on an HTTP/2 stream: a flag byte, four bytes of length, the message.
 */
import { notImplemented, resourceExhausted } from "@ctrd/core/errors";

const headerLength = 5;

/** Messages above this are sent beside their header instead of being copied behind it. */
const copyLimit = 16 << 10;

/**
 * The buffers that carry a message, header first.
 *
 * @throws ContainerdError `resource-exhausted` when it is larger than `maxBytes`
 */
export function frameMessage(message: Buffer, maxBytes: number): readonly Buffer[] {
  if (message.length > maxBytes) {
    throw resourceExhausted(`answer of ${message.length} bytes is larger than the limit of ${maxBytes} bytes`);
  }
  if (message.length > copyLimit) {
    const header = Buffer.allocUnsafe(headerLength);
    header[0] = 0;
    header.writeUInt32BE(message.length, 1);
    return [header, message];
  }
  const frame = Buffer.allocUnsafe(headerLength + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, headerLength);
  return [frame];
}

/** Cuts a byte stream into messages. A message that came in one piece is not copied. */
export class FrameDecoder {
  readonly #maxBytes: number;
  readonly #allocate: (length: number) => Buffer;
  #header = Buffer.alloc(headerLength);
  #headerFill = 0;
  #body: Buffer | undefined;
  #bodyFill = 0;

  /** @param allocate gives memory for a message that comes in several pieces */
  constructor(maxBytes: number, allocate: (length: number) => Buffer = Buffer.allocUnsafeSlow) {
    this.#maxBytes = maxBytes;
    this.#allocate = allocate;
  }

  /** Whether the bytes so far end within a message. */
  get partial(): boolean {
    return this.#headerFill > 0;
  }

  /**
   * Takes bytes, tells of each message that is complete.
   *
   * @throws ContainerdError `resource-exhausted` for one that is too large, `not-implemented` for a compressed one
   */
  push(chunk: Buffer, onMessage: (message: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body === undefined) at = this.#startMessage(chunk, at, onMessage);
      else at = this.#continueMessage(this.#body, chunk, at, onMessage);
    }
  }

  #startMessage(chunk: Buffer, start: number, onMessage: (message: Buffer) => void): number {
    const take = Math.min(headerLength - this.#headerFill, chunk.length - start);
    chunk.copy(this.#header, this.#headerFill, start, start + take);
    this.#headerFill += take;
    const at = start + take;
    if (this.#headerFill < headerLength) return at;
    const length = this.#checkHeader();
    if (chunk.length - at >= length) {
      this.#headerFill = 0;
      onMessage(chunk.subarray(at, at + length));
      return at + length;
    }
    this.#body = this.#allocate(length);
    this.#bodyFill = 0;
    return at;
  }

  #continueMessage(body: Buffer, chunk: Buffer, start: number, onMessage: (message: Buffer) => void): number {
    const take = Math.min(body.length - this.#bodyFill, chunk.length - start);
    chunk.copy(body, this.#bodyFill, start, start + take);
    this.#bodyFill += take;
    if (this.#bodyFill === body.length) {
      this.#body = undefined;
      this.#headerFill = 0;
      onMessage(body);
    }
    return start + take;
  }

  #checkHeader(): number {
    if (this.#header[0] !== 0) throw notImplemented("request is compressed; send it with encoding identity");
    const length = this.#header.readUInt32BE(1);
    if (length <= this.#maxBytes) return length;
    throw resourceExhausted(`request of ${length} bytes is larger than the limit of ${this.#maxBytes} bytes`);
  }
}
