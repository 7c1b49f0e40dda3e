/**
 * One call at the server: runs the handler and sends its answer.
 *
 * @module
 */
import type { Request } from "@ctrd/api/ttrpc/request";
import { Response } from "@ctrd/api/ttrpc/request";
import { canceled, invalidArgument } from "@ctrd/core/errors";
import type { ServerCallContext } from "./call-context.ts";
import type { FrameConnection } from "./connection.ts";
import { FrameFlag, FrameType } from "./frame.ts";
import type { RegisteredMethod } from "./handlers.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { statusFromError } from "./status.ts";

const nothing: Uint8Array = new Uint8Array(0);
/** Field number of `payload` in `ttrpc.Response`. */
const responsePayload = 2;

/** Sends a Response frame that carries an error. */
export function sendError(connection: FrameConnection, streamId: number, error: unknown): void {
  const envelope = Response.encode({ status: statusFromError(error), payload: nothing }).finish();
  connection.send(streamId, FrameType.response, 0, envelope, 0, nothing);
}

/** A running call. */
export class ServerCall {
  readonly streamId: number;
  readonly #connection: FrameConnection;
  readonly #method: RegisteredMethod;
  readonly #context: ServerCallContext;
  #requests: ReceiveQueue<Uint8Array> | undefined;
  #remoteClosed = false;
  /** Set once a final answer was sent or can no longer be sent. */
  #answered = false;

  constructor(connection: FrameConnection, streamId: number, method: RegisteredMethod, context: ServerCallContext) {
    this.#connection = connection;
    this.streamId = streamId;
    this.#method = method;
    this.#context = context;
  }

  /**
   * Runs the handler to its end and answers. The request is decoded before this returns its promise.
   *
   * @param flags flags of the Request frame
   */
  async run(request: Request, flags: number): Promise<void> {
    try {
      const { definition, handler } = this.#method;
      let input: unknown;
      if (definition.requestStream) {
        this.#requests = this.#openQueue(request.payload, flags);
        input = this.#decodeEach(this.#requests);
      } else {
        input = this.#decode(request.payload);
      }
      if (definition.responseStream) {
        await this.#answerStream(handler(this.#context, input) as AsyncIterable<unknown>);
      } else {
        await this.#answerOnce(handler(this.#context, input));
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#context.finish();
      this.#requests?.abort(canceled("ttrpc call has ended"));
    }
  }

  /**
   * A Data frame for this call.
   *
   * @throws ContainerdError `invalid-argument` when the call takes no data (any more)
   */
  data(flags: number, payload: Uint8Array): void {
    const requests = this.#requests;
    if (requests === undefined) throw invalidArgument("data handling error: the method takes no stream of requests");
    if (this.#remoteClosed) throw invalidArgument("data handling error: data after the client closed the stream");
    if ((flags & FrameFlag.noData) === 0 && (flags & FrameFlag.remoteClosed) === 0) requests.push(payload);
    if ((flags & FrameFlag.remoteClosed) === 0) return;
    this.#remoteClosed = true;
    requests.end();
    if (payload.length > 0) throw invalidArgument("data close message cannot include data");
  }

  /** The connection is lost. */
  abort(): void {
    this.#answered = true;
    const reason = canceled("ttrpc connection closed");
    this.#requests?.abort(reason);
    this.#context.abort(reason);
  }

  #decode(payload: Uint8Array): unknown {
    try {
      return this.#method.definition.requestType.decode(payload);
    } catch (error) {
      throw invalidArgument(`unmarshal ${this.#method.definition.name} request`, { cause: error });
    }
  }

  async *#decodeEach(queue: ReceiveQueue<Uint8Array>): AsyncGenerator<unknown> {
    for await (const payload of queue) yield this.#decode(payload);
  }

  /** Makes the queue of requests; the first is the Request frame's payload unless that is empty. */
  #openQueue(first: Uint8Array, flags: number): ReceiveQueue<Uint8Array> {
    const queue = new ReceiveQueue<Uint8Array>({
      pause: () => this.#connection.pause(),
      resume: () => this.#connection.resume(),
      overflow: () => {
        const error = invalidArgument("data handling error: the receive queue of the stream is full");
        this.#fail(error);
        queue.abort(error);
        this.#context.abort(error);
      },
    });
    if (first.length > 0) queue.push(first);
    if ((flags & FrameFlag.remoteClosed) !== 0) {
      this.#remoteClosed = true;
      queue.end();
    }
    return queue;
  }

  async #answerOnce(answer: unknown): Promise<void> {
    const response = await answer;
    if (this.#answered) return;
    const payload = this.#method.definition.responseType.encode(response).finish();
    this.#connection.send(this.streamId, FrameType.response, 0, nothing, responsePayload, payload);
    this.#answered = true;
  }

  async #answerStream(answers: AsyncIterable<unknown>): Promise<void> {
    const codec = this.#method.definition.responseType;
    for await (const response of answers) {
      if (this.#answered) return;
      const room = this.#connection.send(this.streamId, FrameType.data, 0, nothing, 0, codec.encode(response).finish());
      if (!room) await this.#connection.drained();
    }
    if (this.#answered) return;
    this.#answered = true;
    this.#connection.send(
      this.streamId,
      FrameType.data,
      FrameFlag.remoteClosed | FrameFlag.noData,
      nothing,
      0,
      nothing,
    );
  }

  #fail(error: unknown): void {
    if (this.#answered) return;
    this.#answered = true;
    sendError(this.#connection, this.streamId, error);
  }
}
