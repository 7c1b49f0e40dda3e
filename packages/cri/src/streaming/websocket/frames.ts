/**
 * Frames of the WebSocket protocol (RFC 6455, section 5), as a server reads and writes them.
 *
 * @module
 */

/** The peer does not keep to the protocol: the connection ends with `status`. */
export class WebSocketError extends Error {
  override readonly name: string = "WebSocketError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Operations of a frame. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Why a connection is closed. */
export const CloseStatus = { normal: 1000, goingAway: 1001, protocolError: 1002, unsupported: 1003 } as const;

/** A control frame, or a part of a message. */
export type Frame =
  | { readonly kind: "control"; readonly opcode: number; readonly payload: Buffer }
  | {
      readonly kind: "data";
      /** Text or binary. */
      readonly opcode: number;
      readonly chunk: Buffer;
      /** Whether it begins a message. */
      readonly first: boolean;
      /** Whether it ends one. */
      readonly last: boolean;
    };

interface FrameHeader {
  readonly opcode: number;
  readonly fin: boolean;
  readonly mask: Buffer;
  readonly length: number;
  readonly headerLength: number;
}

interface OpenFrame {
  left: number;
  offset: number;
  readonly mask: Buffer;
  readonly fin: boolean;
}

const empty = Buffer.alloc(0);
const maxControlBytes = 125;

/** Takes bytes as they come and gives frames. Messages are given in parts and never collected. */
export class FrameParser {
  #bytes: Buffer = empty;
  /** The data frame that is being read. */
  #frame: OpenFrame | undefined;
  /** Operation of the message that is being read. */
  #message: number | undefined;
  #first = true;

  push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
  }

  /** The next frame, or undefined when more bytes are needed. */
  read(): Frame | undefined {
    if (this.#frame !== undefined) return this.#readData(this.#frame);
    const header = parseHeader(this.#bytes);
    if (header === undefined) return undefined;
    if (header.opcode >= Opcode.close) return this.#readControl(header);
    this.#begin(header);
    this.#take(header.headerLength);
    this.#frame = { left: header.length, offset: 0, mask: header.mask, fin: header.fin };
    return this.#readData(this.#frame);
  }

  #begin({ opcode }: FrameHeader): void {
    if (opcode === Opcode.continuation) {
      if (this.#message === undefined) throw protocolError("a message begins with a continuation");
      return;
    }
    if (opcode !== Opcode.text && opcode !== Opcode.binary) throw protocolError(`operation ${opcode}`);
    if (this.#message !== undefined) throw protocolError("a message begins inside another");
    this.#message = opcode;
    this.#first = true;
  }

  #readControl({ opcode, fin, mask, length, headerLength }: FrameHeader): Frame | undefined {
    if (opcode > Opcode.pong) throw protocolError(`operation ${opcode}`);
    if (!fin || length > maxControlBytes) throw protocolError("a control frame is too long or in parts");
    if (this.#bytes.length < headerLength + length) return undefined;
    this.#take(headerLength);
    return { kind: "control", opcode, payload: unmask(this.#take(length), mask, 0) };
  }

  #readData(frame: OpenFrame): Frame | undefined {
    if (frame.left > 0 && this.#bytes.length === 0) return undefined;
    const chunk = unmask(this.#take(Math.min(frame.left, this.#bytes.length)), frame.mask, frame.offset);
    frame.left -= chunk.length;
    frame.offset += chunk.length;
    const opcode = this.#message as number;
    const first = this.#first;
    this.#first = false;
    const last = frame.left === 0 && frame.fin;
    if (frame.left === 0) this.#frame = undefined;
    if (last) this.#message = undefined;
    return { kind: "data", opcode, chunk, first, last };
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = length === this.#bytes.length ? empty : this.#bytes.subarray(length);
    return taken;
  }
}

function parseHeader(bytes: Buffer): FrameHeader | undefined {
  if (bytes.length < 2) return undefined;
  const [start, second] = [bytes.readUInt8(0), bytes.readUInt8(1)];
  if ((start & 0x70) !== 0) throw protocolError("reserved bits are set");
  if ((second & 0x80) === 0) throw protocolError("a client's frame is not masked");
  const short = second & 0x7f;
  const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
  const headerLength = 2 + lengthBytes + 4;
  if (bytes.length < headerLength) return undefined;
  const long = lengthBytes === 8 ? Number(bytes.readBigUInt64BE(2)) : lengthBytes === 2 ? bytes.readUInt16BE(2) : short;
  if (!Number.isSafeInteger(long)) throw protocolError("a frame's length exceeds any");
  const mask = Buffer.from(bytes.subarray(headerLength - 4, headerLength));
  return { opcode: start & 0x0f, fin: (start & 0x80) !== 0, mask, length: long, headerLength };
}

/** Unmasks in place; `offset` is the position of the first byte in its frame. */
function unmask(bytes: Buffer, mask: Buffer, offset: number): Buffer {
  for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] as number) ^ (mask[(offset + at) & 3] as number);
  return bytes;
}

function protocolError(message: string): WebSocketError {
  return new WebSocketError(CloseStatus.protocolError, message);
}

/** What comes before a payload of ours that is a message of its own. */
export function frameHeader(opcode: number, length: number): Buffer {
  const lengthBytes = length > 0xffff ? 8 : length > 125 ? 2 : 0;
  const header = Buffer.alloc(2 + lengthBytes);
  header.writeUInt8(0x80 | opcode, 0);
  header.writeUInt8(lengthBytes === 8 ? 127 : lengthBytes === 2 ? 126 : length, 1);
  if (lengthBytes === 8) header.writeBigUInt64BE(BigInt(length), 2);
  if (lengthBytes === 2) header.writeUInt16BE(length, 2);
  return header;
}

/** A close frame. */
export function closeFrame(status: number, reason = ""): Buffer {
  const text = Buffer.from(reason).subarray(0, maxControlBytes - 2);
  const payload = Buffer.alloc(2 + text.length);
  payload.writeUInt16BE(status);
  text.copy(payload, 2);
  return Buffer.concat([frameHeader(Opcode.close, payload.length), payload]);
}
