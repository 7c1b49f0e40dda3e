/**
 * Header blocks of SPDY/3: names and values, compressed as parts of one zlib stream a direction.
 *
 * @module
 */
import { constants, createInflate } from "node:zlib";
import type { Inflate } from "node:zlib";
import { headerDictionary, headerDictionaryId } from "./dictionary.ts";
import { ProtocolError } from "./frames.ts";

/** Bounds of one block, once decompressed. Clients send half a dozen short headers. */
const maxBlockBytes = 64 * 1024;
const maxHeaders = 128;

/** Names in lower case; a value that was sent several times has NUL between its parts. */
export type Headers = ReadonlyMap<string, string>;

/** Decompresses the blocks of one direction. They depend on each other: one at a time, in order. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({
    dictionary: headerDictionary,
    flush: constants.Z_SYNC_FLUSH,
    chunkSize: 4096,
  });
  #pieces: Buffer[] = [];
  #size = 0;
  #failed: ((error: Error) => void) | undefined;

  constructor() {
    this.#inflate.on("readable", () => this.#collect());
    this.#inflate.on("error", (error) => this.#failed?.(new ProtocolError(`header block: ${error.message}`)));
  }

  /** @throws ProtocolError for a block that is malformed or too large; no other can be read then. */
  async read(block: Buffer): Promise<Headers> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#failed = reject;
    this.#inflate.write(block, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(new ProtocolError(`header block: ${error.message}`));
    });
    await promise;
    this.#collect();
    const bytes = Buffer.concat(this.#pieces);
    [this.#pieces, this.#size] = [[], 0];
    return parseHeaders(bytes);
  }

  close(): void {
    this.#failed?.(new ProtocolError("header block: the connection is closed"));
    this.#inflate.destroy();
  }

  #collect(): void {
    for (;;) {
      const piece = this.#inflate.read() as Buffer | null;
      if (piece === null) return;
      this.#size += piece.length;
      if (this.#size > maxBlockBytes) {
        this.#failed?.(new ProtocolError(`header block: more than ${maxBlockBytes} bytes`));
        this.#inflate.destroy();
        return;
      }
      this.#pieces.push(piece);
    }
  }
}

/** Reads a decompressed block. */
export function parseHeaders(bytes: Buffer): Headers {
  let at = 0;
  const number = (): number => {
    if (at + 4 > bytes.length) throw new ProtocolError("header block: truncated");
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > bytes.length - at) throw new ProtocolError("header block: truncated");
    at += length;
    return bytes.toString("latin1", at - length, at);
  };
  const headers = new Map<string, string>();
  const count = number();
  if (count > maxHeaders) throw new ProtocolError(`header block: more than ${maxHeaders} headers`);
  for (let index = 0; index < count; index++) {
    const name = text().toLowerCase();
    if (name === "" || headers.has(name)) throw new ProtocolError("header block: a name is empty or repeated");
    headers.set(name, text());
  }
  if (at !== bytes.length) throw new ProtocolError("header block: bytes after its end");
  return headers;
}

/** Method, window and level of the stream's header; the second byte says that a dictionary follows, and is its check. */
const streamHeader = Buffer.from([0x78, 0xbb, 0, 0, 0, 0]);
streamHeader.writeUInt32BE(headerDictionaryId, 2);

/** An empty stored block: a reader hands on what it has when it comes to one. */
const syncMarker = Buffer.from([0, 0, 0, 0xff, 0xff]);

/**
 * Writes the blocks of one direction. All that we send are replies without headers, so nothing is compressed: deflate may
 * store bytes as they are.
 */
export class HeaderWriter {
  #started = false;

  write(headers: Headers = new Map()): Buffer {
    const parts: Buffer[] = [uint32(headers.size)];
    for (const pair of headers) for (const text of pair) parts.push(uint32(text.length), Buffer.from(text, "latin1"));
    const bytes = Buffer.concat(parts);
    if (bytes.length > 0xffff) throw new RangeError("headers exceed one stored block");
    const stored = Buffer.from([0, 0, 0, 0, 0]);
    stored.writeUInt16LE(bytes.length, 1);
    stored.writeUInt16LE(bytes.length ^ 0xffff, 3);
    const start = this.#started ? [] : [streamHeader];
    this.#started = true;
    return Buffer.concat([...start, stored, bytes, syncMarker]);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
