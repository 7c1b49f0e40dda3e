/**
 * Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, section 2.2).
 *
 * @module
 */

/** The peer does not keep to the protocol: the connection ends. */
export class ProtocolError extends Error {
  override readonly name: string = "ProtocolError";
}

/** Types of control frames that mean something here. */
export const FrameType = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;

/** Flag of a frame that is a stream's last of its direction. */
export const flagFin = 0x01;

/** Status codes of RST_STREAM. */
export const ResetStatus = { protocolError: 1, refused: 3, cancel: 5 } as const;

/** Status codes of GOAWAY. */
export const GoAwayStatus = { ok: 0, protocolError: 1 } as const;

const version = 3;

/** A control frame, or a part of a data frame's bytes. */
export type Frame =
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly payload: Buffer }
  | { readonly kind: "data"; readonly streamId: number; readonly chunk: Buffer; readonly last: boolean };

/** Control frames beyond this end the connection. */
const maxControlBytes = 16 * 1024;
const headerBytes = 8;
const empty = Buffer.alloc(0);

/** Takes bytes as they come and gives frames. Bytes of data frames are given at once and never collected. */
export class FrameParser {
  #bytes: Buffer = empty;
  /** The data frame that is being read. */
  #data: { streamId: number; left: number; fin: boolean } | undefined;

  push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
  }

  /** The next frame, or undefined when more bytes are needed. */
  read(): Frame | undefined {
    if (this.#data !== undefined) return this.#readData(this.#data);
    if (this.#bytes.length < headerBytes) return undefined;
    const word = this.#bytes.readUInt32BE(0);
    const flags = this.#bytes.readUInt8(4);
    const length = this.#bytes.readUIntBE(5, 3);
    if (word >>> 31 === 1) return this.#readControl(word, flags, length);
    this.#take(headerBytes);
    this.#data = { streamId: word, left: length, fin: (flags & flagFin) !== 0 };
    return this.#readData(this.#data);
  }

  #readControl(word: number, flags: number, length: number): Frame | undefined {
    if (((word >>> 16) & 0x7fff) !== version) throw new ProtocolError("frame of another version of SPDY");
    if (length > maxControlBytes) throw new ProtocolError(`control frame of ${length} bytes`);
    if (this.#bytes.length < headerBytes + length) return undefined;
    this.#take(headerBytes);
    return { kind: "control", type: word & 0xffff, flags, payload: this.#take(length) };
  }

  #readData(data: { streamId: number; left: number; fin: boolean }): Frame | undefined {
    if (data.left > 0 && this.#bytes.length === 0) return undefined;
    const chunk = this.#take(Math.min(data.left, this.#bytes.length));
    data.left -= chunk.length;
    if (data.left === 0) this.#data = undefined;
    return { kind: "data", streamId: data.streamId, chunk, last: data.left === 0 && data.fin };
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = length === this.#bytes.length ? empty : this.#bytes.subarray(length);
    return taken;
  }
}

/** A control frame's bytes. */
export function controlFrame(type: number, ...parts: readonly (number | Buffer)[]): Buffer {
  const payload = Buffer.concat(parts.map((part) => (typeof part === "number" ? word(part) : part)));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE((((0x8000 | version) << 16) >>> 0) + type);
  header.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([header, payload]);
}

/** What comes before the bytes of a data frame. */
export function dataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(streamId);
  header.writeUInt8(fin ? flagFin : 0, 4);
  header.writeUIntBE(length, 5, 3);
  return header;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
