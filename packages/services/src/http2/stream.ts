/**
 * One stream of a connection: a request, and its answer.
 *
 * @module
 */
import type { Socket } from "node:net";
import type { RequestHeaders } from "./request-headers.ts";

/** Reads the body of a request. */
export interface BodyReader {
  /** A piece; it may share memory with others. */
  data(chunk: Buffer): void;
  /** The body is complete. */
  end(): void;
}

/** What a stream asks of its connection. */
export interface StreamHost {
  readonly socket: Socket;
  /** `bytes` of the body have been read: the peer may send as many more. */
  consumed(stream: Http2Stream, bytes: number): void;
  sendHeaders(stream: Http2Stream, block: Buffer, endStream: boolean): void;
  /** Sends what waits in the stream, as far as the windows allow. */
  pump(stream: Http2Stream): void;
}

/** A piece of an answer that waits, and who is told when it has left. */
interface Waiting {
  readonly bytes: Buffer;
  readonly sent: (() => void) | undefined;
}

/** A stream. The body of its request waits until somebody reads it; flow control bounds what waits. */
export class Http2Stream {
  readonly id: number;
  readonly headers: RequestHeaders;
  /** Told when the stream ends otherwise than by a complete answer: reset, or the connection is gone. */
  onAbort: (() => void) | undefined;

  /** Bytes that the peer may still send, and those read that it was not told of; kept by the connection. */
  receiveWindow: number;
  unacknowledged = 0;
  /** Bytes that may still be sent; kept by the connection. */
  sendWindow: number;
  /** Bytes of the body so far, and how many there should be. */
  received = 0;
  readonly expected: number | undefined;
  /** Whether the peer has sent everything. */
  remoteEnded = false;
  /** Whether everything was sent, or nothing more may be. */
  localEnded = false;

  readonly #host: StreamHost;
  #reader: BodyReader | undefined;
  #paused = false;
  #unread: Buffer[] = [];
  #endRead = false;
  #queue: Waiting[] = [];
  #queued = 0;
  #trailers: Buffer | undefined;
  #closed = false;

  constructor(
    host: StreamHost,
    id: number,
    headers: RequestHeaders,
    windows: { receive: number; send: number; expected: number | undefined },
  ) {
    this.#host = host;
    this.id = id;
    this.headers = headers;
    this.receiveWindow = windows.receive;
    this.sendWindow = windows.send;
    this.expected = windows.expected;
  }

  /** The connection's socket. */
  get socket(): Socket {
    return this.#host.socket;
  }

  /** Whether nothing can be sent any more, because everything was, or the stream was reset. */
  get closed(): boolean {
    return this.#closed || this.localEnded;
  }

  /** Starts to read the body, what has come so far first. */
  read(reader: BodyReader): void {
    this.#reader = reader;
    this.#deliver();
  }

  /** Keeps what comes until {@link resume}. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  /** Reads and drops what the peer still sends, so that its windows do not stay closed. */
  discard(): void {
    this.#reader = { data() {}, end() {} };
    this.resume();
  }

  /** Sends headers; `endStream` when nothing follows. */
  respond(block: Buffer, endStream = false): void {
    if (this.closed) return;
    if (endStream) this.localEnded = true;
    this.#host.sendHeaders(this, block, endStream);
  }

  /** Sends a piece of the body. `sent` is told when it has left; the piece must stay as it is until then. */
  write(bytes: Buffer, sent?: () => void): void {
    if (this.closed) return;
    this.#queue.push({ bytes, sent });
    this.#queued += bytes.length;
    this.#host.pump(this);
  }

  /** Ends the answer with trailers, behind everything that was written. */
  end(trailers: Buffer): void {
    if (this.closed) return;
    this.#trailers = trailers;
    this.#host.pump(this);
  }

  /** Bytes that wait to be sent. Of the connection. */
  get queued(): number {
    return this.#queued;
  }

  /** The trailers, when nothing else waits. Of the connection. */
  takeTrailers(): Buffer | undefined {
    if (this.#queued > 0 || this.#trailers === undefined) return undefined;
    const trailers = this.#trailers;
    this.#trailers = undefined;
    this.localEnded = true;
    return trailers;
  }

  /** Takes `length` of the bytes that wait. Of the connection. @returns who is to be told when they have left */
  take(length: number, piece: (bytes: Buffer) => void): (() => void)[] {
    const sent: (() => void)[] = [];
    let rest = length;
    this.#queued -= length;
    while (rest > 0) {
      const first = this.#queue[0];
      if (first === undefined) break;
      if (first.bytes.length > rest) {
        piece(first.bytes.subarray(0, rest));
        this.#queue[0] = { bytes: first.bytes.subarray(rest), sent: first.sent };
        return sent;
      }
      piece(first.bytes);
      rest -= first.bytes.length;
      this.#queue.shift();
      if (first.sent !== undefined) sent.push(first.sent);
    }
    return sent;
  }

  /** The peer has sent a piece of the body. Of the connection. */
  push(chunk: Buffer): void {
    this.#unread.push(chunk);
    this.#deliver();
  }

  /** The peer has sent everything. Of the connection. */
  pushEnd(): void {
    this.remoteEnded = true;
    this.#deliver();
  }

  /** The stream is over before its answer was complete. Of the connection. */
  abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unread = [];
    this.#queue = [];
    this.#queued = 0;
    if (!this.localEnded) this.onAbort?.();
  }

  #deliver(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    while (!this.#paused && this.#unread.length > 0) {
      const chunk = this.#unread.shift();
      if (chunk === undefined) break;
      reader.data(chunk);
      this.#host.consumed(this, chunk.length);
    }
    if (this.#paused || this.#unread.length > 0 || !this.remoteEnded || this.#endRead) return;
    this.#endRead = true;
    reader.end();
  }
}
