/**
 * The server's side of a WebSocket connection, after the upgrade.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Duplex } from "node:stream";
import type { Done } from "../channel-stream.ts";
import { ReadGate } from "../channel-stream.ts";
import { endConnection, ReplyBacklog } from "../connection-end.ts";
import type { Frame } from "./frames.ts";
import { closeFrame, CloseStatus, frameHeader, FrameParser, Opcode, WebSocketError } from "./frames.ts";

/** A part of a message that the client sends. */
export type MessagePart = Frame & { kind: "data" };

/** Who takes what the client sends. */
export interface WebSocketReceiver {
  /** @throws WebSocketError for a message that means nothing; the connection then ends. */
  receive(part: MessagePart): void;
  /** The client sends no more; called once. */
  lost(error: Error): void;
}

/** Sends and receives messages. */
export class WebSocketConnection {
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  readonly gate: ReadGate;
  readonly #socket: Duplex;
  readonly #parser = new FrameParser();
  readonly #replies: ReplyBacklog;
  readonly #log: Logger;
  #receiver: WebSocketReceiver | undefined;
  #over = false;

  /** @param log gets why a connection failed */
  constructor(socket: Duplex, log: Logger) {
    this.#socket = socket;
    this.#log = log;
    this.gate = new ReadGate(socket, () => this.#replies.write(frameHeader(Opcode.ping, 0)));
    this.#replies = new ReplyBacklog(socket, this.gate);
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#lose(new Error("the client has gone"));
        resolve();
      });
    });
  }

  /**
   * Begins to read.
   *
   * @param head what the client sent right behind its request
   */
  start(head: Buffer, receiver: WebSocketReceiver): void {
    this.#receiver = receiver;
    this.#socket.on("error", (error) => this.#log.debug({ err: messageOf(error) }, "streaming connection failed"));
    this.#socket.on("end", () => {
      this.#lose(new Error("the client has gone"));
      this.#socket.end();
    });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (head.length > 0) this.#receive(head);
  }

  /** Sends one message; `done` is called when it has left. */
  send(opcode: number, parts: readonly Buffer[], done: Done): void {
    if (this.#over || !this.#socket.writable) return done(new Error("the client has gone"));
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.#socket.cork();
    for (const part of [frameHeader(opcode, length), ...parts.slice(0, -1)]) this.#socket.write(part);
    this.#socket.write(parts.at(-1) ?? Buffer.alloc(0), done);
    this.#socket.uncork();
  }

  /** Tells the client and waits for it to go, but not for long. */
  async close(status: number = CloseStatus.normal, reason = ""): Promise<void> {
    if (!this.#over) {
      this.#replies.write(closeFrame(status, reason));
      this.#lose(new Error("the connection is closed"));
    }
    await endConnection(this.#socket, this.closed);
  }

  #receive(chunk: Buffer): void {
    // After our end only the client's is waited for.
    if (this.#over) return;
    try {
      this.#parser.push(chunk);
      for (let frame = this.#parser.read(); frame !== undefined && !this.#over; frame = this.#parser.read()) {
        if (frame.kind === "data") this.#receiver?.receive(frame);
        else this.#handleControl(frame.opcode, frame.payload);
      }
    } catch (error) {
      const status = error instanceof WebSocketError ? error.status : CloseStatus.protocolError;
      this.#log.debug({ err: messageOf(error) }, "streaming client does not keep to WebSocket");
      void this.close(status, messageOf(error));
    }
  }

  #handleControl(opcode: number, payload: Buffer): void {
    if (opcode === Opcode.ping) {
      this.#replies.write(Buffer.concat([frameHeader(Opcode.pong, payload.length), payload]));
    } else if (opcode === Opcode.close) {
      void this.close();
    }
  }

  #lose(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.gate.close();
    this.#receiver?.lost(error);
  }
}
