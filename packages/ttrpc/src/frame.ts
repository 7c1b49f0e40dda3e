/**
 * ttrpc frames: a 10-byte header (length, stream id, type, flags; big-endian) and data. Pure: no I/O.
 *
 * @module
 */

/** Bytes of a frame header. */
export const frameHeaderLength = 10;

/** Most bytes of data that one frame may carry, in both directions. */
export const maxFrameLength: number = 4 * 1024 * 1024;

/** Message types of frames. */
export const FrameType = { request: 0x01, response: 0x02, data: 0x03 } as const;

/** Flag bits of frames. */
export const FrameFlag = {
  /** The sender sends no more on this stream. */
  remoteClosed: 0x01,
  /** The sender will send more on this stream. */
  remoteOpen: 0x02,
  /** The frame carries no message. */
  noData: 0x04,
} as const;

/** One frame. `data` may share memory with the chunk that it came in. */
export interface Frame {
  streamId: number;
  type: number;
  flags: number;
  data: Uint8Array;
}

/** Who receives what a {@link FrameDecoder} finds. */
export interface FrameSink {
  frame(frame: Frame): void;
  /** A frame over the limit; its `length` bytes are dropped. */
  oversize(streamId: number, length: number): void;
}

const empty: Uint8Array = new Uint8Array(0);

/** Writes a frame header into `target` at 0. */
export function writeFrameHeader(target: Buffer, length: number, streamId: number, type: number, flags: number): void {
  target.writeUInt32BE(length, 0);
  target.writeUInt32BE(streamId, 4);
  target[8] = type;
  target[9] = flags;
}

/**
 * Cuts a byte stream into frames. A frame that lies inside one chunk is passed on as a view of it; only a frame that
 * spans chunks is copied, once.
 */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #header: Buffer = Buffer.alloc(frameHeaderLength);
  #headerFilled = 0;
  /** Data of the frame being assembled; undefined while a header is awaited or data is being dropped. */
  #body: Buffer | undefined;
  #bodyFilled = 0;
  #dropLeft = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes and hands every completed frame to the sink before returning. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#dropLeft > 0) at = this.#drop(chunk, at);
      else if (this.#body !== undefined) at = this.#fillBody(this.#body, chunk, at);
      else at = this.#readHeader(chunk, at);
    }
  }

  #drop(chunk: Buffer, at: number): number {
    const dropped = Math.min(this.#dropLeft, chunk.length - at);
    this.#dropLeft -= dropped;
    return at + dropped;
  }

  #fillBody(body: Buffer, chunk: Buffer, at: number): number {
    const copied = chunk.copy(body, this.#bodyFilled, at);
    this.#bodyFilled += copied;
    if (this.#bodyFilled === body.length) {
      this.#body = undefined;
      this.#emit(this.#header, 0, body);
    }
    return at + copied;
  }

  #readHeader(chunk: Buffer, at: number): number {
    if (this.#headerFilled === 0 && chunk.length - at >= frameHeaderLength) {
      return this.#startBody(chunk, at, chunk, at + frameHeaderLength);
    }
    const copied = chunk.copy(this.#header, this.#headerFilled, at, at + frameHeaderLength - this.#headerFilled);
    this.#headerFilled += copied;
    if (this.#headerFilled < frameHeaderLength) return at + copied;
    this.#headerFilled = 0;
    return this.#startBody(this.#header, 0, chunk, at + copied);
  }

  /** The header is complete at `headerAt` of `header`; its data begins at `at` of `chunk`. Returns the next position. */
  #startBody(header: Buffer, headerAt: number, chunk: Buffer, at: number): number {
    const length = header.readUInt32BE(headerAt);
    if (length > maxFrameLength) {
      this.#dropLeft = length;
      this.#sink.oversize(header.readUInt32BE(headerAt + 4), length);
      return at;
    }
    if (length === 0) {
      this.#emit(header, headerAt, empty);
      return at;
    }
    if (chunk.length - at >= length) {
      this.#emit(header, headerAt, chunk.subarray(at, at + length));
      return at + length;
    }
    if (header !== this.#header) header.copy(this.#header, 0, headerAt, headerAt + frameHeaderLength);
    this.#body = Buffer.allocUnsafeSlow(length);
    this.#bodyFilled = 0;
    return at;
  }

  #emit(header: Buffer, headerAt: number, data: Uint8Array): void {
    this.#sink.frame({
      streamId: header.readUInt32BE(headerAt + 4),
      type: header[headerAt + 8] ?? 0,
      flags: header[headerAt + 9] ?? 0,
      data,
    });
  }
}

/** Above this a payload is written as its own buffer (one writev) rather than copied behind its header. */
const copyLimit = 16 * 1024;

/**
 * Encodes a frame whose data is `envelope` followed by `payload` as the length-delimited protobuf field `field`
 * (protobuf fields may come in any order, so the payload can always be last and is copied at most once). With field 0
 * the payload follows bare.
 *
 * @returns the buffers to write, in order
 */
export function encodeFrame(
  streamId: number,
  type: number,
  flags: number,
  envelope: Uint8Array,
  field: number,
  payload: Uint8Array,
): Buffer[] {
  const bare = field === 0 || payload.length === 0;
  const prefix = bare ? 0 : 1 + varintLength(payload.length);
  const length = frameDataLength(envelope, field, payload);
  const inline = payload.length <= copyLimit;
  const headSize = frameHeaderLength + envelope.length + prefix;
  const head = Buffer.allocUnsafe(inline ? headSize + payload.length : headSize);
  writeFrameHeader(head, length, streamId, type, flags);
  head.set(envelope, frameHeaderLength);
  if (!bare) {
    let at = frameHeaderLength + envelope.length;
    head[at++] = (field << 3) | 2;
    writeVarint(head, at, payload.length);
  }
  if (inline) {
    head.set(payload, headSize);
    return [head];
  }
  return [head, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)];
}

/** Bytes of data that {@link encodeFrame} would make. */
export function frameDataLength(envelope: Uint8Array, field: number, payload: Uint8Array): number {
  const prefix = field === 0 || payload.length === 0 ? 0 : 1 + varintLength(payload.length);
  return envelope.length + prefix + payload.length;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

function writeVarint(target: Buffer, at: number, value: number): void {
  let rest = value;
  let position = at;
  while (rest > 0x7f) {
    target[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[position] = rest;
}
