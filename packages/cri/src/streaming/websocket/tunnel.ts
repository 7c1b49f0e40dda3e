/**
 * A byte stream over the binary messages of a WebSocket.
 *
 * @module
 */
import type { ChannelTransport, Done } from "../channel-stream.ts";
import { ChannelStream, ReceiveBudget } from "../channel-stream.ts";
import type { MessagePart, WebSocketConnection, WebSocketReceiver } from "./connection.ts";
import { CloseStatus, Opcode, WebSocketError } from "./frames.ts";

/** The only channel; messages say nothing of it. */
class Tunnel implements ChannelTransport, WebSocketReceiver {
  readonly stream: ChannelStream;
  readonly #connection: WebSocketConnection;

  constructor(connection: WebSocketConnection) {
    this.#connection = connection;
    this.stream = new ChannelStream(0, this, new ReceiveBudget(connection.gate));
  }

  send(_channel: ChannelStream, chunk: Buffer, done: Done): void {
    this.#connection.send(Opcode.binary, [chunk], done);
  }

  sendEnd(_channel: ChannelStream, done: Done): void {
    done();
    void this.#connection.close();
  }

  channelClosed(): void {
    void this.#connection.close();
  }

  receive(part: MessagePart): void {
    if (part.opcode !== Opcode.binary) throw new WebSocketError(CloseStatus.unsupported, "messages must be binary");
    this.stream.deliver(part.chunk);
  }

  lost(): void {
    this.stream.deliverEnd();
  }
}

/** The bytes of all messages as one stream. It ends with the connection, and ends it. */
export function tunnelStream(connection: WebSocketConnection, head: Buffer): ChannelStream {
  const tunnel = new Tunnel(connection);
  connection.start(head, tunnel);
  return tunnel.stream;
}
