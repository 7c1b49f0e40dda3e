/**
 * Cuts what a client sends into frames.
 *
 * @module
 */
import { ConnectionError, ErrorCode, protocolError } from "./errors.ts";
import { defaultMaxFrameSize, FrameFlag, frameHeaderLength, FrameType } from "./frame.ts";

/** What a client sends first. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Is told of frames, in their order. */
export interface FrameSink {
  /** A DATA frame begins; `length` counts towards the windows. */
  dataFrame(streamId: number, length: number): void;
  /** A piece of the data of the frame that has begun. */
  data(streamId: number, piece: Buffer): void;
  /** The DATA frame is complete; `padding` of its bytes were no data. */
  dataEnd(streamId: number, endStream: boolean, padding: number): void;
  /** Any other frame, complete. */
  frame(type: number, flags: number, streamId: number, payload: Buffer): void;
}

/** What is left of the DATA frame that is being read. */
interface DataRest {
  readonly streamId: number;
  readonly endStream: boolean;
  /** Whether the length of the padding comes next. */
  padLength: boolean;
  data: number;
  padding: number;
  /** Bytes of the frame that are no data. */
  overhead: number;
}

/** Reads the frames of one connection. Data is handed on as it comes; other frames when they are complete. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(frameHeaderLength);
  #prefaceFill = 0;
  #headerFill = 0;
  #dataRest: DataRest | undefined;
  /** The payload of another frame that came in pieces. */
  #payload: Buffer | undefined;
  #payloadFill = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Takes bytes. @throws ConnectionError, and what the sink throws */
  push(chunk: Buffer): void {
    let at = this.#prefaceFill < preface.length ? this.#readPreface(chunk) : 0;
    while (at < chunk.length) {
      if (this.#dataRest !== undefined) at = this.#readData(this.#dataRest, chunk, at);
      else if (this.#payload !== undefined) at = this.#readPayload(this.#payload, chunk, at);
      else at = this.#readHeader(chunk, at);
    }
  }

  #readPreface(chunk: Buffer): number {
    const count = Math.min(preface.length - this.#prefaceFill, chunk.length);
    if (preface.compare(chunk, 0, count, this.#prefaceFill, this.#prefaceFill + count) !== 0) {
      throw protocolError("the client does not speak HTTP/2");
    }
    this.#prefaceFill += count;
    return count;
  }

  #readHeader(chunk: Buffer, start: number): number {
    if (this.#headerFill === 0 && chunk.length - start >= frameHeaderLength) {
      return this.#begin(chunk, start, chunk, start + frameHeaderLength);
    }
    const count = Math.min(frameHeaderLength - this.#headerFill, chunk.length - start);
    chunk.copy(this.#header, this.#headerFill, start, start + count);
    this.#headerFill += count;
    if (this.#headerFill < frameHeaderLength) return start + count;
    this.#headerFill = 0;
    return this.#begin(this.#header, 0, chunk, start + count);
  }

  /** A frame whose header is in `header` and whose payload begins in `chunk` at `at`. */
  #begin(header: Buffer, offset: number, chunk: Buffer, at: number): number {
    const length = header.readUIntBE(offset, 3);
    const type = header[offset + 3] ?? 0;
    const flags = header[offset + 4] ?? 0;
    const streamId = header.readUInt32BE(offset + 5) & 0x7fff_ffff;
    if (length > defaultMaxFrameSize) {
      throw new ConnectionError(ErrorCode.FrameSizeError, `a frame of ${length} bytes`);
    }
    if (type === FrameType.Data) {
      this.#beginData(flags, streamId, length);
      return at;
    }
    if (chunk.length - at >= length) {
      this.#sink.frame(type, flags, streamId, chunk.subarray(at, at + length));
      return at + length;
    }
    header.copy(this.#header, 0, offset, offset + frameHeaderLength);
    this.#payload = Buffer.allocUnsafe(length);
    this.#payloadFill = 0;
    return at;
  }

  #readPayload(payload: Buffer, chunk: Buffer, start: number): number {
    const count = Math.min(payload.length - this.#payloadFill, chunk.length - start);
    chunk.copy(payload, this.#payloadFill, start, start + count);
    this.#payloadFill += count;
    if (this.#payloadFill === payload.length) {
      this.#payload = undefined;
      const [type = 0, flags = 0] = this.#header.subarray(3, 5);
      this.#sink.frame(type, flags, this.#header.readUInt32BE(5) & 0x7fff_ffff, payload);
    }
    return start + count;
  }

  #beginData(flags: number, streamId: number, length: number): void {
    const padded = (flags & FrameFlag.Padded) !== 0;
    if (padded && length === 0) throw protocolError("a padded frame without padding");
    const endStream = (flags & FrameFlag.EndStream) !== 0;
    const overhead = padded ? 1 : 0;
    this.#sink.dataFrame(streamId, length);
    if (length === 0) this.#sink.dataEnd(streamId, endStream, 0);
    else this.#dataRest = { streamId, endStream, padLength: padded, data: length - overhead, padding: 0, overhead };
  }

  #readData(rest: DataRest, chunk: Buffer, start: number): number {
    let at = start;
    if (rest.padLength) {
      rest.padLength = false;
      rest.padding = chunk[at++] ?? 0;
      if (rest.padding > rest.data) throw protocolError("more padding than the frame has bytes");
      rest.data -= rest.padding;
      rest.overhead += rest.padding;
    }
    const count = Math.min(rest.data, chunk.length - at);
    if (count > 0) this.#sink.data(rest.streamId, chunk.subarray(at, at + count));
    rest.data -= count;
    at += count;
    const skipped = Math.min(rest.padding, chunk.length - at);
    rest.padding -= skipped;
    if (rest.data === 0 && rest.padding === 0) {
      this.#dataRest = undefined;
      this.#sink.dataEnd(rest.streamId, rest.endStream, rest.overhead);
    }
    return at + skipped;
  }
}
