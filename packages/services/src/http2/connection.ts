/**
 * The server's side of an HTTP/2 connection (RFC 9113): no push, no priorities.
 *
 * @module
 */
import type { Socket } from "node:net";
import { ConnectionError, ErrorCode, protocolError, StreamError } from "./errors.ts";
import { defaultWindow, FrameFlag, FrameType, maxWindow } from "./frame.ts";
import { checkLength, checkNoStream, checkStreamId } from "./frame-checks.ts";
import type { FrameSink } from "./frame-reader.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { HeaderBlock } from "./header-block.ts";
import { HeaderBlocks, selfDependency } from "./header-block.ts";
import { emptyTable, HeaderDecoder } from "./hpack.ts";
import { checkTrailers, contentLength, requestHeaders } from "./request-headers.ts";
import { maxHeaderListSize, maxStreams, ownSettings, PeerSettings, streamWindow } from "./settings.ts";
import type { StreamHost } from "./stream.ts";
import { Http2Stream } from "./stream.ts";

/** Receive window of a connection in bytes. What comes is acknowledged at once: streams do not wait for each other. */
const connectionWindow = 8 << 20;
/** Answers to PING and SETTINGS that may wait for a client which does not read. */
const maxWaitingAcks = 1_000;
/** Streams that were reset, whose frames may still come. */
const maxRemembered = 1_000;
/** Largest frame that is sent, whatever the client allows. */
const maxSentFrame = 256 << 10;

/** Who is told of a connection's life. */
export interface ConnectionEvents {
  stream(stream: Http2Stream): void;
  /** The client broke the protocol, or the socket failed. */
  error(error: Error): void;
  close(): void;
}

/** A connection of a client. */
export class Http2Connection implements FrameSink, StreamHost {
  readonly socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #reader = new FrameReader(this);
  readonly #writer: FrameWriter;
  readonly #decoder = new HeaderDecoder(maxHeaderListSize);
  readonly #blocks = new HeaderBlocks();
  readonly #settings = new PeerSettings();
  readonly #streams = new Map<number, Http2Stream>();
  /** Streams with something to send that wait for the connection's window. */
  readonly #waiting = new Set<Http2Stream>();
  readonly #reset = new Set<number>();
  #lastStreamId = 0;
  #sendWindow = defaultWindow;
  #unacknowledged = 0;
  #waitingAcks = 0;
  #settingsSeen = false;
  #tableTold = false;
  #closing = false;
  #failed = false;

  constructor(socket: Socket, events: ConnectionEvents) {
    this.socket = socket;
    this.#events = events;
    this.#writer = new FrameWriter(socket);
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => events.error(error));
    socket.once("close", () => this.#gone());
    this.#writer.frame(FrameType.Settings, 0, 0, ownSettings);
    this.#writer.numbers(FrameType.WindowUpdate, 0, connectionWindow - defaultWindow);
  }

  /** Lets the streams that there are end, and no more begin. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#writer.numbers(FrameType.GoAway, 0, this.#lastStreamId, ErrorCode.NoError);
    this.#endIfIdle();
  }

  /** Ends the connection now. */
  destroy(): void {
    this.socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#failed) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failed = true;
    const code = error instanceof ConnectionError ? error.code : ErrorCode.InternalError;
    this.#writer.numbers(FrameType.GoAway, 0, this.#lastStreamId, code);
    this.#writer.flush();
    this.#events.error(error instanceof Error ? error : new Error(String(error)));
    // Ends the socket when what waits has been written.
    this.socket.destroySoon();
  }

  #gone(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#waiting.clear();
    for (const stream of streams) stream.abort();
    this.#events.close();
  }

  #endIfIdle(): void {
    if (!this.#closing || this.#streams.size > 0) return;
    this.#writer.flush();
    this.socket.destroySoon();
  }

  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    this.#checkFirst(type, flags);
    this.#blocks.checkOrder(type, streamId);
    try {
      this.#dispatch(type, flags, streamId, payload);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#streamFailed(error);
    }
  }

  /** The first frame is SETTINGS. */
  #checkFirst(type: number, flags: number): void {
    if (this.#settingsSeen) return;
    if (type !== FrameType.Settings || (flags & FrameFlag.Ack) !== 0) throw protocolError("SETTINGS do not come first");
    this.#settingsSeen = true;
  }

  #dispatch(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FrameType.Headers:
      case FrameType.Continuation: {
        if (type === FrameType.Headers) checkStreamId(streamId, "HEADERS");
        const block = this.#blocks.push(type, flags, streamId, payload);
        if (block !== undefined) this.#onHeaders(block);
        break;
      }
      case FrameType.Priority:
        checkStreamId(streamId, "PRIORITY");
        if (payload.length !== 5)
          throw new StreamError(streamId, ErrorCode.FrameSizeError, "PRIORITY of a wrong length");
        if ((payload.readUInt32BE(0) & 0x7fff_ffff) === streamId) throw selfDependency(streamId);
        break;
      case FrameType.Reset:
        this.#onReset(streamId, payload);
        break;
      case FrameType.Settings:
        this.#onSettings(flags, streamId, payload);
        break;
      case FrameType.PushPromise:
        throw protocolError("PUSH_PROMISE of a client");
      case FrameType.Ping:
        checkNoStream(streamId, "PING");
        checkLength(payload, 8, "PING");
        if ((flags & FrameFlag.Ack) === 0) this.#acknowledge(FrameType.Ping, payload);
        break;
      case FrameType.GoAway:
        checkNoStream(streamId, "GOAWAY");
        break;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(streamId, payload);
        break;
      // Unknown frames are to be ignored.
    }
  }

  #onHeaders({ streamId, endStream, bytes, fault }: HeaderBlock): void {
    const list = this.#decoder.decode(bytes);
    if (fault !== undefined) throw fault;
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      if (stream.remoteEnded) throw new StreamError(streamId, ErrorCode.StreamClosed, "headers behind its end");
      if (!endStream) throw new StreamError(streamId, ErrorCode.ProtocolError, "trailers that do not end it");
      checkTrailers(streamId, list);
      this.#bodyComplete(stream);
      return;
    }
    if (streamId <= this.#lastStreamId) {
      if (this.#reset.has(streamId)) return;
      throw new ConnectionError(ErrorCode.StreamClosed, `HEADERS on stream ${streamId}, which is closed`);
    }
    if (streamId % 2 === 0) throw protocolError(`stream ${streamId} is not a client's`);
    this.#lastStreamId = streamId;
    const headers = requestHeaders(streamId, list);
    if (this.#closing || this.#streams.size >= maxStreams) {
      throw new StreamError(streamId, ErrorCode.RefusedStream, "too many streams, or the server stops");
    }
    const expected = contentLength(streamId, headers);
    const windows = { receive: streamWindow, send: this.#settings.initialWindow, expected };
    const opened = new Http2Stream(this, streamId, headers, windows);
    this.#streams.set(streamId, opened);
    this.#events.stream(opened);
    if (endStream) this.#bodyComplete(opened);
  }

  #onReset(streamId: number, payload: Buffer): void {
    checkLength(payload, 4, "RST_STREAM");
    this.#checkNotIdle(streamId, "RST_STREAM");
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#drop(stream);
  }

  #onSettings(flags: number, streamId: number, payload: Buffer): void {
    checkNoStream(streamId, "SETTINGS");
    if ((flags & FrameFlag.Ack) !== 0) {
      checkLength(payload, 0, "an acknowledgement of SETTINGS");
      return;
    }
    const before = this.#settings.initialWindow;
    this.#settings.apply(payload);
    this.#acknowledge(FrameType.Settings, Buffer.alloc(0));
    const change = this.#settings.initialWindow - before;
    if (change === 0) return;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > maxWindow) throw new ConnectionError(ErrorCode.FlowControlError, "a window is too large");
      if (change > 0) this.pump(stream);
    }
  }

  #onWindowUpdate(streamId: number, payload: Buffer): void {
    checkLength(payload, 4, "WINDOW_UPDATE");
    const increment = payload.readUInt32BE(0) & 0x7fff_ffff;
    if (streamId === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE by nothing");
      this.#sendWindow += increment;
      if (this.#sendWindow > maxWindow)
        throw new ConnectionError(ErrorCode.FlowControlError, "the window is too large");
      this.#pumpWaiting();
      return;
    }
    this.#checkNotIdle(streamId, "WINDOW_UPDATE");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) throw new StreamError(streamId, ErrorCode.ProtocolError, "WINDOW_UPDATE by nothing");
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow) {
      throw new StreamError(streamId, ErrorCode.FlowControlError, "its window is too large");
    }
    this.pump(stream);
  }

  dataFrame(streamId: number, length: number): void {
    this.#checkFirst(FrameType.Data, 0);
    this.#blocks.checkOrder(FrameType.Data, streamId);
    this.#checkNotIdle(streamId, "DATA");
    this.#unacknowledged += length;
    if (this.#unacknowledged >= connectionWindow / 2) {
      this.#writer.numbers(FrameType.WindowUpdate, 0, this.#unacknowledged);
      this.#unacknowledged = 0;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined || stream.remoteEnded) {
      if (!this.#reset.has(streamId)) {
        this.#streamFailed(new StreamError(streamId, ErrorCode.StreamClosed, "data behind its end"));
      }
      return;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      this.#streamFailed(new StreamError(streamId, ErrorCode.FlowControlError, "more data than its window allows"));
    }
  }

  data(streamId: number, piece: Buffer): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.received += piece.length;
    stream.push(piece);
  }

  dataEnd(streamId: number, endStream: boolean, padding: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (padding > 0) this.consumed(stream, padding);
    if (!endStream) return;
    try {
      this.#bodyComplete(stream);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#streamFailed(error);
    }
  }

  #bodyComplete(stream: Http2Stream): void {
    if (stream.expected !== undefined && stream.expected !== stream.received) {
      const message = `its body has ${stream.received} bytes, not ${stream.expected}`;
      throw new StreamError(stream.id, ErrorCode.ProtocolError, message);
    }
    stream.pushEnd();
    this.#forgetIfDone(stream);
  }

  /** A stream that the client has not begun has no frames. */
  #checkNotIdle(streamId: number, what: string): void {
    checkStreamId(streamId, what);
    if (streamId > this.#lastStreamId) throw protocolError(`${what} on stream ${streamId}, which is not open`);
  }

  consumed(stream: Http2Stream, bytes: number): void {
    stream.unacknowledged += bytes;
    if (stream.remoteEnded || stream.unacknowledged < streamWindow / 2 || !this.#streams.has(stream.id)) return;
    this.#writer.numbers(FrameType.WindowUpdate, stream.id, stream.unacknowledged);
    stream.receiveWindow += stream.unacknowledged;
    stream.unacknowledged = 0;
  }

  sendHeaders(stream: Http2Stream, block: Buffer, endStream: boolean): void {
    this.#writer.headers(stream.id, this.#withTableSize(block), endStream);
    if (endStream) this.#forgetIfDone(stream);
  }

  pump(stream: Http2Stream): void {
    while (stream.queued > 0) {
      const allowed = Math.min(stream.sendWindow, this.#sendWindow, this.#settings.maxFrameSize, maxSentFrame);
      if (allowed <= 0) {
        if (stream.sendWindow > 0) this.#waiting.add(stream);
        return;
      }
      const length = Math.min(stream.queued, allowed);
      stream.sendWindow -= length;
      this.#sendWindow -= length;
      this.#writer.dataHeader(stream.id, length);
      for (const sent of stream.take(length, (piece) => this.#writer.payload(piece))) this.#writer.whenSent(sent);
    }
    const trailers = stream.takeTrailers();
    if (trailers === undefined) return;
    this.#writer.headers(stream.id, this.#withTableSize(trailers), true);
    this.#forgetIfDone(stream);
  }

  /** Lets the streams that wait for the connection's window go on in turn. */
  #pumpWaiting(): void {
    for (const stream of [...this.#waiting]) {
      if (this.#sendWindow <= 0) return;
      this.#waiting.delete(stream);
      this.pump(stream);
    }
  }

  #streamFailed(error: StreamError): void {
    this.#sendReset(error.streamId, error.code);
    const stream = this.#streams.get(error.streamId);
    if (stream !== undefined) this.#drop(stream);
  }

  #sendReset(streamId: number, code: number): void {
    this.#writer.numbers(FrameType.Reset, streamId, code);
    this.#reset.add(streamId);
    const [oldest] = this.#reset;
    if (this.#reset.size > maxRemembered && oldest !== undefined) this.#reset.delete(oldest);
  }

  #drop(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    stream.abort();
    this.#endIfIdle();
  }

  #forgetIfDone(stream: Http2Stream): void {
    if (!stream.localEnded || !stream.remoteEnded) return;
    this.#streams.delete(stream.id);
    this.#endIfIdle();
  }

  #acknowledge(type: number, payload: Buffer): void {
    if (++this.#waitingAcks > maxWaitingAcks) {
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, "the client asks, and does not read the answers");
    }
    this.#writer.frame(type, FrameFlag.Ack, 0, payload);
    this.#writer.whenSent(this.#acksSent);
  }

  readonly #acksSent = (): void => {
    this.#waitingAcks = 0;
  };

  /** A client that limits the table of headers must be told once that none is used. */
  #withTableSize(block: Buffer): Buffer {
    if (!this.#settings.tableLimited || this.#tableTold) return block;
    this.#tableTold = true;
    return Buffer.concat([emptyTable, block]);
  }
}
