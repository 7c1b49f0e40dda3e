/**
 * HPACK (RFC 7541): reads all of it; writes literals only, which need no state.
 *
 * @module
 */
import { ConnectionError, ErrorCode } from "./errors.ts";
import type { Header } from "./header-table.ts";
import { headerSize, HeaderTable } from "./header-table.ts";
import { decodeHuffman } from "./huffman.ts";

/** Size of the table that peers may use, in bytes: HTTP/2's default. */
export const headerTableSize = 4096;

/** An update of the table's size to 0, for peers that limit it. */
export const emptyTable: Buffer = Buffer.from([0x20]);

/** Reads header blocks of one connection, in their order. */
export class HeaderDecoder {
  readonly #table = new HeaderTable(headerTableSize);
  readonly #maxListSize: number;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @param maxListSize most bytes of a list, as HTTP/2 counts them */
  constructor(maxListSize: number) {
    this.#maxListSize = maxListSize;
  }

  /** @throws ConnectionError `COMPRESSION_ERROR` for what is malformed, `ENHANCE_YOUR_CALM` for too much */
  decode(block: Buffer): Header[] {
    this.#bytes = block;
    this.#at = 0;
    const headers: Header[] = [];
    let size = 0;
    while (this.#at < block.length) {
      const byte = block[this.#at] ?? 0;
      if ((byte & 0xe0) === 0x20) {
        if (headers.length > 0) throw malformed("a change of the table's size is not at the beginning");
        this.#resize();
        continue;
      }
      const header = byte >= 0x80 ? this.#entry(this.#integer(7)) : this.#literal(byte);
      size += headerSize(header);
      if (size > this.#maxListSize) {
        throw new ConnectionError(ErrorCode.EnhanceYourCalm, `headers of more than ${this.#maxListSize} bytes`);
      }
      headers.push(header);
    }
    return headers;
  }

  #literal(byte: number): Header {
    const indexed = (byte & 0x40) !== 0;
    const index = this.#integer(indexed ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#entry(index).name;
    const header = { name, value: this.#string() };
    if (indexed) this.#table.add(header);
    return header;
  }

  #entry(index: number): Header {
    const entry = this.#table.get(index);
    if (entry === undefined) throw malformed(`there is no entry ${index}`);
    return entry;
  }

  #resize(): void {
    const size = this.#integer(5);
    if (size > headerTableSize) throw malformed(`a table of ${size} bytes is larger than ${headerTableSize}`);
    this.#table.resize(size);
  }

  /** An integer whose first byte has `bits` bits of it. */
  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed("an integer is too large");
  }

  #string(): string {
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw malformed("a string is longer than its block");
    if (!coded) return this.#bytes.toString("latin1", start, this.#at);
    const text = decodeHuffman(this.#bytes, start, this.#at);
    if (text === undefined) throw malformed("a string is not in the Huffman code");
    return text;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw malformed("a header ends early");
    return byte;
  }
}

/**
 * Encodes headers as literals that are not indexed.
 *
 * @param headers names in lower case and Latin-1 values, `:status` first
 */
export function encodeHeaders(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(headers.map(([name, value]) => encodeHeader(name, value)));
}

function encodeHeader(name: string, value: string): Buffer {
  // The one index that is used: of `:status: 200`.
  if (name === ":status" && value === "200") return Buffer.from([0x88]);
  return Buffer.concat([Buffer.from([0x00]), ...encodeString(name), ...encodeString(value)]);
}

function encodeString(text: string): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  let rest = bytes.length;
  if (rest < 0x7f) length.push(rest);
  else {
    length.push(0x7f);
    for (rest -= 0x7f; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return [Buffer.from(length), bytes];
}

function malformed(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.CompressionError, `header block: ${message}`);
}
