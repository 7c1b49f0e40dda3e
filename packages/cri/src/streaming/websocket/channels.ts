/**
 * Channels over a WebSocket: the first byte of each message is the number of its channel.
 *
 * @module
 */
import type { ChannelTransport, Done } from "../channel-stream.ts";
import { ChannelStream, ReceiveBudget } from "../channel-stream.ts";
import type { MessagePart, WebSocketConnection, WebSocketReceiver } from "./connection.ts";
import { CloseStatus, Opcode, WebSocketError } from "./frames.ts";

/** How channels are written into messages. */
export interface ChannelEncoding {
  /** Text messages: a digit, then base64. Otherwise binary ones: a byte, then the bytes. */
  readonly base64: boolean;
  /** A message on channel 255 ends the channel that it names, towards the server. */
  readonly closeChannel: boolean;
}

/** Bytes of one message that we send, so that no channel holds the others up for long. A multiple of 3, for base64. */
const maxMessageBytes = 48 * 1024;
const closeChannel = 255;
const digitZero = 0x30;

/** Serves numbered channels of one connection. */
export class WebSocketChannels implements ChannelTransport, WebSocketReceiver {
  readonly connection: WebSocketConnection;
  readonly #encoding: ChannelEncoding;
  readonly #budget: ReceiveBudget;
  readonly #channels = new Map<number, ChannelStream>();
  /** Channel of the message that is being received, or undefined while its number has not come. */
  #current: number | undefined;
  /** Base64 of it that is no whole group yet. */
  #rest = "";

  constructor(connection: WebSocketConnection, encoding: ChannelEncoding) {
    this.connection = connection;
    this.#encoding = encoding;
    this.#budget = new ReceiveBudget(connection.gate);
  }

  /** Makes a channel. What comes on channels that were not made is ignored. */
  open(id: number): ChannelStream {
    const channel = new ChannelStream(id, this, this.#budget);
    this.#channels.set(id, channel);
    return channel;
  }

  send(channel: ChannelStream, chunk: Buffer, done: Done): void {
    let at = 0;
    do {
      const part = chunk.subarray(at, at + maxMessageBytes);
      at += maxMessageBytes;
      this.#sendMessage(channel.id, part, at < chunk.length ? () => {} : done);
    } while (at < chunk.length);
  }

  /** There is no message for it. */
  sendEnd(_channel: ChannelStream, done: Done): void {
    done();
  }

  channelClosed(channel: ChannelStream): void {
    this.#channels.delete(channel.id);
  }

  receive(part: MessagePart): void {
    const { base64 } = this.#encoding;
    if (part.opcode !== (base64 ? Opcode.text : Opcode.binary)) {
      throw new WebSocketError(CloseStatus.unsupported, `messages must be ${base64 ? "text" : "binary"}`);
    }
    let { chunk } = part;
    if (part.first) [this.#current, this.#rest] = [undefined, ""];
    if (this.#current === undefined && chunk.length > 0) {
      this.#current = (chunk[0] as number) - (base64 ? digitZero : 0);
      chunk = chunk.subarray(1);
    }
    if (this.#current === undefined) return;
    const bytes = base64 ? this.#decode(chunk, part.last) : chunk;
    if (this.#current === closeChannel && this.#encoding.closeChannel) {
      for (const id of bytes) this.#channels.get(id)?.deliverEnd();
    } else this.#channels.get(this.#current)?.deliver(bytes);
  }

  lost(error: Error): void {
    for (const channel of [...this.#channels.values()]) channel.lose(error);
  }

  #decode(chunk: Buffer, last: boolean): Buffer {
    const text = this.#rest + chunk.toString("latin1");
    const whole = last ? text.length : text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const group = text.slice(0, whole);
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(group)) {
      throw new WebSocketError(CloseStatus.unsupported, "a message is not base64");
    }
    return Buffer.from(group, "base64");
  }

  #sendMessage(id: number, bytes: Buffer, done: Done): void {
    const { base64 } = this.#encoding;
    const parts = base64
      ? [Buffer.from(String.fromCharCode(digitZero + id) + bytes.toString("base64"), "latin1")]
      : [Buffer.from([id]), ...(bytes.length > 0 ? [bytes] : [])];
    this.connection.send(base64 ? Opcode.text : Opcode.binary, parts, done);
  }
}
