/**
 * Several streams over one connection, as NRI does it: before each piece stand the number of its stream and its length,
 * four bytes each.
 *
 * @module
 */
import { Duplex } from "node:stream";

type Done = (error?: Error | null) => void;

/** Numbers of the streams. */
export const StreamId = { plugin: 1, runtime: 2 } as const;

const headerBytes = 8;
/** Header of a ttrpc message; its first four bytes are the length of what follows it. */
const messageHeaderBytes = 10;
const maxPayload = messageHeaderBytes + (4 << 20);
/**
 * What NRI's own library reads at once. A piece must fit what it reads for: the first of a message is read into its
 * buffer of this size, the rest into one of just the right size. And it takes few pieces that wait.
 */
const firstPieceBytes = 4096;
const empty = Buffer.alloc(0);

/** A connection that carries streams. It ends with any of them. */
export class Multiplexer {
  readonly #trunk: Duplex;
  readonly #streams = new Map<number, MultiplexedStream>();
  #bytes: Buffer = empty;
  #piece: { readonly id: number; left: number } | undefined;

  /** @param trunk a connected stream, which is owned from now on */
  constructor(trunk: Duplex) {
    this.#trunk = trunk;
    trunk.on("error", (error) => this.#close(error));
    trunk.on("close", () => this.#close());
    trunk.on("end", () => trunk.destroy());
  }

  /** A stream. All have to be opened before {@link start}. */
  open(id: number): Duplex {
    const stream = new MultiplexedStream(id, {
      send: (message, done) => this.#send(id, message, done),
      wanted: () => this.#trunk.resume(),
      closed: () => this.#trunk.destroy(),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  /** Begins to read. */
  start(): void {
    this.#trunk.on("data", (chunk: Buffer) => this.#receive(chunk));
  }

  close(): void {
    this.#trunk.destroy();
  }

  /** Sends one ttrpc message. */
  #send(id: number, message: Buffer, done: Done): void {
    if (this.#trunk.destroyed) return done(new Error("the connection is closed"));
    this.#trunk.cork();
    for (const part of [message.subarray(0, firstPieceBytes), message.subarray(firstPieceBytes)]) {
      if (part.length === 0) continue;
      const header = Buffer.alloc(headerBytes);
      header.writeUInt32BE(id, 0);
      header.writeUInt32BE(part.length, 4);
      this.#trunk.write(header);
      this.#trunk.write(part);
    }
    this.#trunk.write(empty, done);
    this.#trunk.uncork();
  }

  #receive(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      this.#piece ??= this.#readHeader();
      if (this.#piece === undefined) return;
      if (this.#bytes.length === 0 && this.#piece.left > 0) return;
      const part = this.#bytes.subarray(0, this.#piece.left);
      this.#bytes = this.#bytes.subarray(part.length);
      this.#piece.left -= part.length;
      // What is for no stream of ours is nobody's.
      const room = this.#streams.get(this.#piece.id)?.deliver(part) ?? true;
      if (!room) this.#trunk.pause();
      if (this.#piece.left === 0) this.#piece = undefined;
    }
  }

  #readHeader(): { id: number; left: number } | undefined {
    if (this.#bytes.length < headerBytes) return undefined;
    const [id, left] = [this.#bytes.readUInt32BE(0), this.#bytes.readUInt32BE(4)];
    this.#bytes = this.#bytes.subarray(headerBytes);
    if (left <= maxPayload) return { id, left };
    this.#trunk.destroy(new Error(`a piece of ${left} bytes exceeds the limit of ${maxPayload}`));
    return undefined;
  }

  #close(error?: Error): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.destroy(error);
  }
}

interface Trunk {
  send(message: Buffer, done: Done): void;
  wanted(): void;
  closed(): void;
}

class MultiplexedStream extends Duplex {
  readonly id: number;
  readonly #trunk: Trunk;
  /** The beginning of a message whose rest is not written yet. */
  #unsent: Buffer = empty;

  constructor(id: number, trunk: Trunk) {
    super({ allowHalfOpen: false });
    this.id = id;
    this.#trunk = trunk;
    this.on("error", () => {});
  }

  /** Whether there is room for more. */
  deliver(chunk: Buffer): boolean {
    return this.destroyed || chunk.length === 0 || this.push(chunk);
  }

  override _read(): void {
    this.#trunk.wanted();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#unsent = this.#unsent.length === 0 ? chunk : Buffer.concat([this.#unsent, chunk]);
    this.#sendMessages(done);
  }

  #sendMessages(done: Done): void {
    const length = this.#unsent.length < 4 ? Infinity : messageHeaderBytes + this.#unsent.readUInt32BE(0);
    if (this.#unsent.length < length) return done();
    const message = this.#unsent.subarray(0, length);
    this.#unsent = this.#unsent.subarray(length);
    this.#trunk.send(message, (error) => {
      if (error === undefined || error === null) this.#sendMessages(done);
      else done(error);
    });
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#trunk.closed();
    done(error);
  }
}
