/**
 * The server's side of a SPDY/3.1 connection, over any byte stream.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Duplex } from "node:stream";
import type { ChannelTransport, Done } from "../channel-stream.ts";
import { ChannelStream, ReadGate, ReceiveBudget } from "../channel-stream.ts";
import { endConnection, ReplyBacklog } from "../connection-end.ts";
import type { Frame } from "./frames.ts";
import {
  controlFrame,
  dataHeader,
  flagFin,
  FrameParser,
  FrameType,
  GoAwayStatus,
  ProtocolError,
  ResetStatus,
} from "./frames.ts";
import type { Headers } from "./header-blocks.ts";
import { HeaderReader, HeaderWriter } from "./header-blocks.ts";

/** Bytes of one data frame that we send, so that no stream holds the others up for long. */
const maxDataBytes = 64 * 1024;

/** Number of our pings; a server's are even. */
const ownPing = 2;

/** What a connection is made with. */
export interface SpdyOptions {
  /** Streams that are open at the same time; those beyond are refused. */
  readonly maxStreams: number;
  /** Whether to take the stream that the client opens. It is usable from the next turn of the event loop on. */
  onStream(stream: ChannelStream, headers: Headers): boolean;
  readonly log: Logger;
}

/** Serves the streams that a client opens. */
export class SpdyConnection implements ChannelTransport {
  /** Resolves when the connection is over and all its streams are. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #options: SpdyOptions;
  readonly #parser = new FrameParser();
  readonly #headerReader = new HeaderReader();
  readonly #headerWriter = new HeaderWriter();
  readonly #gate: ReadGate;
  readonly #budget: ReceiveBudget;
  readonly #replies: ReplyBacklog;
  readonly #streams = new Map<number, ChannelStream>();
  #lastStreamId = 0;
  #busy = false;
  #over = false;

  /** @param head what the client sent right behind its request */
  constructor(socket: Duplex, head: Buffer, options: SpdyOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#gate = new ReadGate(socket, () => this.#replies.write(controlFrame(FrameType.ping, ownPing)));
    this.#budget = new ReceiveBudget(this.#gate);
    this.#replies = new ReplyBacklog(socket, this.#gate);
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#lose(new Error("the client has gone"));
        resolve();
      });
    });
    socket.on("error", (error) => options.log.debug({ err: messageOf(error) }, "streaming connection failed"));
    socket.on("end", () => {
      this.#lose(new Error("the client has gone"));
      socket.end();
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (head.length > 0) this.#receive(head);
  }

  /** Ends what is open, tells the client, and waits for it to go, but not for long. */
  async close(): Promise<void> {
    if (!this.#over) {
      for (const stream of [...this.#streams.values()]) stream.destroy();
      this.#replies.write(controlFrame(FrameType.goAway, this.#lastStreamId, GoAwayStatus.ok));
      this.#over = true;
    }
    await endConnection(this.#socket, this.closed);
  }

  send(stream: ChannelStream, chunk: Buffer, done: Done): void {
    if (this.#over || !this.#socket.writable) return done(new Error("the client has gone"));
    this.#socket.cork();
    for (let at = 0; at < chunk.length; at += maxDataBytes) {
      const part = chunk.subarray(at, at + maxDataBytes);
      this.#socket.write(dataHeader(stream.id, part.length, false));
      this.#socket.write(part, at + maxDataBytes < chunk.length ? undefined : done);
    }
    this.#socket.uncork();
    // An empty chunk would never be called back.
    if (chunk.length === 0) done();
  }

  sendEnd(stream: ChannelStream, done: Done): void {
    if (this.#over || !this.#socket.writable) return done();
    this.#socket.write(dataHeader(stream.id, 0, true), done);
  }

  channelClosed(stream: ChannelStream, clean: boolean): void {
    const known = this.#streams.delete(stream.id);
    if (known && !clean) this.#reset(stream.id, ResetStatus.cancel);
  }

  #receive(chunk: Buffer): void {
    // After our end only the client's is waited for.
    if (this.#over) return;
    this.#parser.push(chunk);
    this.#handleFrames();
  }

  #handleFrames(): void {
    try {
      while (!this.#busy && !this.#over) {
        const frame = this.#parser.read();
        if (frame === undefined) return;
        if (frame.kind === "data") this.#handleData(frame);
        else this.#handleControl(frame);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #handleData({ streamId, chunk, last }: Frame & { kind: "data" }): void {
    // Data of a stream that has been reset may still be under way.
    const stream = this.#streams.get(streamId);
    stream?.deliver(chunk);
    if (last) stream?.deliverEnd();
  }

  #handleControl({ type, flags, payload }: Frame & { kind: "control" }): void {
    switch (type) {
      case FrameType.synStream:
        need(payload, 10);
        return this.#withHeaders(payload.subarray(10), (headers) => this.#open(streamIdOf(payload), flags, headers));
      // Their blocks have to be read to understand later ones.
      case FrameType.synReply:
      case FrameType.headers:
        need(payload, 4);
        return this.#withHeaders(payload.subarray(4), () => {});
      case FrameType.rstStream:
        need(payload, 8);
        return this.#handleReset(streamIdOf(payload));
      case FrameType.ping:
        need(payload, 4);
        // Those with even numbers would be answers to ours.
        if (payload.readUInt32BE(0) % 2 === 1) this.#replies.write(controlFrame(type, payload));
        return;
      default:
        // Settings, windows and GOAWAY ask nothing of a server that opens no streams.
        return;
    }
  }

  #withHeaders(block: Buffer, then: (headers: Headers) => void): void {
    this.#busy = true;
    this.#gate.set("headers", true);
    this.#headerReader.read(block).then(
      (headers) => {
        this.#busy = false;
        this.#gate.set("headers", false);
        if (this.#over) return;
        try {
          then(headers);
        } catch (error) {
          return this.#fail(error);
        }
        this.#handleFrames();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #open(id: number, flags: number, headers: Headers): void {
    if (id % 2 === 0 || id <= this.#lastStreamId) throw new ProtocolError(`stream ${id} cannot be opened`);
    this.#lastStreamId = id;
    if (this.#streams.size >= this.#options.maxStreams) return this.#reset(id, ResetStatus.refused);
    const stream = new ChannelStream(id, this, this.#budget);
    if (!this.#options.onStream(stream, headers)) {
      stream.destroy();
      return this.#reset(id, ResetStatus.refused);
    }
    this.#streams.set(id, stream);
    this.#replies.write(controlFrame(FrameType.synReply, id, this.#headerWriter.write()));
    if ((flags & flagFin) !== 0) stream.deliverEnd();
  }

  #handleReset(id: number): void {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.lose(new Error("the client has reset the stream"));
  }

  #reset(id: number, status: number): void {
    if (!this.#over) this.#replies.write(controlFrame(FrameType.rstStream, id, status));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#options.log.debug({ err: messageOf(error) }, "streaming client does not keep to SPDY/3.1");
    this.#replies.write(controlFrame(FrameType.goAway, this.#lastStreamId, GoAwayStatus.protocolError));
    this.#lose(error instanceof Error ? error : new Error(messageOf(error)));
    void endConnection(this.#socket, this.closed);
  }

  #lose(error: Error): void {
    this.#over = true;
    this.#gate.close();
    this.#headerReader.close();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.lose(error);
  }
}

function need(payload: Buffer, length: number): void {
  if (payload.length < length) throw new ProtocolError("control frame: truncated");
}

function streamIdOf(payload: Buffer): number {
  return payload.readUInt32BE(0) & 0x7fff_ffff;
}
