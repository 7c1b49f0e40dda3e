/**
 * One client of the server: its stream ids and calls.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { Request } from "@ctrd/api/ttrpc/request";
import { invalidArgument, notImplemented, resourceExhausted } from "@ctrd/core/errors";
import type { PeerCredentials } from "./call-context.ts";
import { ServerCallContext } from "./call-context.ts";
import { FrameConnection } from "./connection.ts";
import type { Frame, FrameSink } from "./frame.ts";
import { FrameFlag, FrameType, maxFrameLength } from "./frame.ts";
import type { RegisteredMethod, ServiceRegistry } from "./handlers.ts";
import { metadataFromPairs } from "./metadata.ts";
import { sendError, ServerCall } from "./server-call.ts";

/** Serves the calls of one connection. */
export class ServerConnection implements FrameSink {
  readonly #connection: FrameConnection;
  readonly #services: ServiceRegistry;
  readonly #peer: PeerCredentials | undefined;
  readonly #calls: Map<number, ServerCall> = new Map();
  #lastId = 0;
  #draining = false;

  /** @param onClose called when the connection is gone */
  constructor(socket: Duplex, services: ServiceRegistry, peer: PeerCredentials | undefined, onClose: () => void) {
    this.#services = services;
    this.#peer = peer;
    this.#connection = new FrameConnection(socket, this, () => {
      for (const call of this.#calls.values()) call.abort();
      onClose();
    });
  }

  /** Closes as soon as no call runs. */
  drain(): void {
    this.#draining = true;
    if (this.#calls.size === 0) this.#connection.end();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  frame(frame: Frame): void {
    const { streamId } = frame;
    if (streamId % 2 !== 1) {
      this.#refuse(streamId, invalidArgument(`stream id ${streamId}: ids of clients must be odd`));
    } else if (frame.type === FrameType.request) {
      this.#request(frame);
    } else if (frame.type === FrameType.data) {
      this.#data(frame);
    }
    // Other types are ignored, as the protocol asks.
  }

  oversize(streamId: number, length: number): void {
    const why = `receive ttrpc message: ${length} bytes exceed the limit of ${maxFrameLength} bytes`;
    this.#refuse(streamId, resourceExhausted(why));
  }

  #refuse(streamId: number, error: Error): void {
    sendError(this.#connection, streamId, error);
  }

  #data({ streamId, flags, data }: Frame): void {
    const call = this.#calls.get(streamId);
    try {
      if (call === undefined) throw invalidArgument(`stream id ${streamId} is no longer active`);
      call.data(flags, data);
    } catch (error) {
      this.#refuse(streamId, error as Error);
    }
  }

  #request({ streamId, flags, data }: Frame): void {
    if (streamId <= this.#lastId) {
      this.#refuse(streamId, invalidArgument(`stream id ${streamId}: ids cannot be re-used and must increase`));
      return;
    }
    this.#lastId = streamId;
    let request: Request;
    try {
      request = Request.decode(data);
    } catch (error) {
      this.#refuse(streamId, invalidArgument("unmarshal ttrpc request", { cause: error }));
      return;
    }
    const method = this.#lookup(streamId, request);
    if (method !== undefined) this.#start(streamId, method, request, flags);
  }

  #lookup(streamId: number, request: Request): RegisteredMethod | undefined {
    const method = this.#services.find(request.service, request.method);
    if (method !== undefined) return method;
    const what = this.#services.hasService(request.service)
      ? `method ${request.method} of service ${request.service}`
      : `service ${request.service}`;
    this.#refuse(streamId, notImplemented(`ttrpc ${what}`));
    return undefined;
  }

  #start(streamId: number, method: RegisteredMethod, request: Request, flags: number): void {
    const context = new ServerCallContext(metadataFromPairs(request.metadata), request.timeoutNano, this.#peer);
    const call = new ServerCall(this.#connection, streamId, method, context);
    this.#calls.set(streamId, call);
    // run() answers every failure itself. If even that fails (an error text over the frame limit), the stream's
    // state is unknown to the peer, so the connection goes.
    void call.run(request, flags & (FrameFlag.remoteClosed | FrameFlag.remoteOpen)).then(
      () => this.#finished(streamId),
      () => this.destroy(),
    );
  }

  #finished(streamId: number): void {
    this.#calls.delete(streamId);
    if (this.#draining && this.#calls.size === 0) this.#connection.end();
  }
}
