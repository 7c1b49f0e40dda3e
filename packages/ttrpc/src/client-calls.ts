/**
 * Calls that wait at the client for frames.
 *
 * @module
 */
import { Response } from "@ctrd/api/ttrpc/request";
import { internal, messageOf, resourceExhausted } from "@ctrd/core/errors";
import type { MessageCodec } from "./definition.ts";
import type { Frame } from "./frame.ts";
import { FrameFlag, FrameType } from "./frame.ts";
import type { QueueFlow } from "./receive-queue.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { errorFromStatus } from "./status.ts";

/** A call that waits for frames. */
export interface PendingCall {
  /** Takes a frame. @returns whether the call is over */
  frame(frame: Frame): boolean;
  /** Ends the call with an error. */
  fail(error: unknown): void;
  /** Stops the watch of its deadline and signal; called once, when the call is over. */
  stopWatch?: () => void;
}

/** Decodes what the peer has sent. @throws ContainerdError `internal` when it is malformed */
function decode<T>(codec: Pick<MessageCodec<T>, "decode">, data: Uint8Array): T {
  try {
    return codec.decode(data);
  } catch (error) {
    throw internal(`ttrpc protocol error: malformed answer: ${messageOf(error)}`, { cause: error });
  }
}

/** Decodes a Response frame. @throws the error of its status */
function payloadOf(data: Uint8Array): Uint8Array {
  const response = decode(Response, data);
  if (response.status !== undefined && response.status.code !== 0) throw errorFromStatus(response.status);
  return response.payload;
}

/** Waits for the one Response of a call. */
export class PendingResponse<T> implements PendingCall {
  readonly promise: Promise<T>;
  stopWatch?: () => void;
  readonly #codec: MessageCodec<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;

  constructor(codec: MessageCodec<T>) {
    this.#codec = codec;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.promise = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  frame({ type, data }: Frame): boolean {
    if (type !== FrameType.response) {
      this.fail(internal(`ttrpc protocol error: frame of type ${type} where a response was expected`));
      return true;
    }
    try {
      this.#resolve(decode(this.#codec, payloadOf(data)));
    } catch (error) {
      this.#reject(error);
    }
    return true;
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

/** Collects the messages of a server-streaming call. */
export class PendingStream<T> implements PendingCall {
  readonly queue: ReceiveQueue<T>;
  stopWatch?: () => void;
  readonly #codec: MessageCodec<T>;

  /** @param onOverflow called when the reader was too slow, after the queue has failed */
  constructor(codec: MessageCodec<T>, flow: Omit<QueueFlow, "overflow">, onOverflow: () => void) {
    this.#codec = codec;
    this.queue = new ReceiveQueue<T>({
      ...flow,
      overflow: () => {
        this.queue.abort(resourceExhausted("ttrpc: the receive queue of the stream is full"));
        onOverflow();
      },
    });
  }

  frame({ type, flags, data }: Frame): boolean {
    try {
      if (type === FrameType.response) return this.#lastResponse(data);
      if (type !== FrameType.data) throw internal(`ttrpc protocol error: frame of type ${type} on a stream`);
      if ((flags & FrameFlag.noData) === 0) this.queue.push(decode(this.#codec, data));
      const closed = (flags & FrameFlag.remoteClosed) !== 0;
      if (closed) this.queue.end();
      return closed;
    } catch (error) {
      this.queue.fail(error);
      return true;
    }
  }

  fail(error: unknown): void {
    this.queue.fail(error);
  }

  /** A Response ends a stream: usually with an error, else with a last message. */
  #lastResponse(data: Uint8Array): boolean {
    const payload = payloadOf(data);
    if (payload.length > 0) this.queue.push(decode(this.#codec, payload));
    this.queue.end();
    return true;
  }
}
