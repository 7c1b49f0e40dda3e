import type { CallContext } from "@ctrd/core/context";
import { canceled, deadlineExceeded, kindOf } from "@ctrd/core/errors";
import type { SpanAttributes } from "@ctrd/core/tracing";
import { traced } from "@ctrd/core/tracing";
import type { CallOptions as GrpcCallOptions, Client, ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import type { MessageCodec, MessageOf, MethodDefinition } from "./definition.ts";
import { MessageQueue } from "./message-queue.ts";
import { metadataOf } from "./metadata.ts";
import { createSender } from "./sender.ts";
import { asBuffer } from "./buffers.ts";
import { errorFromStatus } from "./status.ts";

/** Options of one call. */
export interface CallOptions {
  /** Milliseconds until the call fails with `deadline-exceeded`; unlimited by default. */
  readonly timeoutMs?: number;
}

/** A call with messages in both directions. Read it with `for await`; leaving the loop cancels the call. */
export interface DuplexCall<Request, Response> extends AsyncIterable<Response> {
  /** Sends a message; resolves when another may follow. The message is encoded before the function returns. */
  send(message: Request): Promise<void>;
  /** The next answer; undefined at the end. */
  receive(): Promise<Response | undefined>;
  /** Tells the peer that no more messages follow. */
  end(): void;
  cancel(): void;
}

/** How a client calls a method. */
export type ClientMethod<M extends MethodDefinition> = M["requestStream"] extends true
  ? (ctx: CallContext, options?: CallOptions) => DuplexCall<MessageOf<M["requestType"]>, MessageOf<M["responseType"]>>
  : M["responseStream"] extends true
    ? (
        ctx: CallContext,
        request: MessageOf<M["requestType"]>,
        options?: CallOptions,
      ) => AsyncIterable<MessageOf<M["responseType"]>>
    : (
        ctx: CallContext,
        request: MessageOf<M["requestType"]>,
        options?: CallOptions,
      ) => Promise<MessageOf<M["responseType"]>>;

/** A method of a client, its message types not known. */
export type AnyClientMethod = (...args: never[]) => unknown;

/** Makes the client side of a method. */
export function clientMethod(client: Client, path: string, method: MethodDefinition): AnyClientMethod {
  if (method.requestStream)
    return (ctx: CallContext, options?: CallOptions) => duplex(client, path, method, ctx, options);
  if (method.responseStream) {
    return (ctx: CallContext, request: unknown, options?: CallOptions) =>
      serverStream(client, path, method, ctx, request, options);
  }
  return (ctx: CallContext, request: unknown, options?: CallOptions) =>
    ctx.span === undefined
      ? unary(client, path, method, ctx, request, options)
      : traced(
          ctx,
          path.slice(1),
          rpcAttributes(path),
          (inner) => unary(client, path, method, inner, request, options),
          "client",
        );
}

/** What OpenTelemetry calls an RPC's service and method. */
function rpcAttributes(path: string): SpanAttributes {
  const [service = "", name = ""] = path.slice(1).split("/");
  return { "rpc.system": "grpc", "rpc.service": service, "rpc.method": name };
}

const identity = (bytes: Buffer): Buffer => bytes;

function unary(
  client: Client,
  path: string,
  method: MethodDefinition,
  ctx: CallContext,
  request: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { signal } = ctx;
    if (signal.aborted) return reject(abortError(path, signal));
    const call = client.makeUnaryRequest<Buffer, unknown>(
      path,
      identity,
      (bytes) => method.responseType.decode(bytes),
      encode(method.requestType, request),
      metadataOf(ctx),
      grpcOptions(options),
      (error, value) => {
        signal.removeEventListener("abort", abort);
        if (error === null) resolve(value);
        else reject(callError(path, error, signal));
      },
    );
    const abort = (): void => call.cancel();
    signal.addEventListener("abort", abort, { once: true });
    return undefined;
  });
}

function serverStream(
  client: Client,
  path: string,
  method: MethodDefinition,
  ctx: CallContext,
  request: unknown,
  options: CallOptions = {},
): AsyncIterable<unknown> {
  if (ctx.signal.aborted) return failed(abortError(path, ctx.signal));
  const call = client.makeServerStreamRequest<Buffer, unknown>(
    path,
    identity,
    (bytes) => method.responseType.decode(bytes),
    encode(method.requestType, request),
    metadataOf(ctx),
    grpcOptions(options),
  );
  return answers(call, path, ctx.signal);
}

function duplex(
  client: Client,
  path: string,
  method: MethodDefinition,
  ctx: CallContext,
  options: CallOptions = {},
): DuplexCall<unknown, unknown> {
  ctx.signal.throwIfAborted();
  const call = client.makeBidiStreamRequest<Buffer, unknown>(
    path,
    identity,
    (bytes) => method.responseType.decode(bytes),
    metadataOf(ctx),
    grpcOptions(options),
  );
  const queue = answers(call, path, ctx.signal);
  const send = createSender<Buffer>(call);
  return {
    send: (message) => send(encode(method.requestType, message)),
    async receive() {
      const result = await queue.next();
      return result.done === true ? undefined : result.value;
    },
    end: () => void call.end(),
    cancel: () => call.cancel(),
    [Symbol.asyncIterator]: () => queue,
  };
}

/** The answers of a call, with back-pressure; ends with the call's error, or at once when `signal` aborts. */
function answers(call: ClientReadableStream<unknown>, path: string, signal: AbortSignal): MessageQueue<unknown> {
  const queue = new MessageQueue<unknown>({
    pause: () => void call.pause(),
    resume: () => void call.resume(),
    cancel: () => discard(call),
  });
  const abort = (): void => {
    queue.abort(abortError(path, signal));
    discard(call);
  };
  signal.addEventListener("abort", abort, { once: true });
  let failure: unknown;
  const settle = (): void => {
    signal.removeEventListener("abort", abort);
    if (failure === undefined) queue.finish();
    else queue.fail(failure);
  };
  call.on("data", (message) => queue.push(message));
  call.on("error", (error: ServiceError) => {
    failure = callError(path, error, signal);
    // The error may come while messages still wait in the stream; "end" follows them.
    if (call.readableLength === 0) settle();
  });
  call.on("end", settle);
  return queue;
}

/** Cancels a call, and reads what it had received so that it can close. */
function discard(call: ClientReadableStream<unknown>): void {
  call.cancel();
  call.resume();
}

function encode(codec: MessageCodec<unknown>, message: unknown): Buffer {
  return asBuffer(codec.encode(message).finish());
}

function grpcOptions(options: CallOptions): GrpcCallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function callError(path: string, error: ServiceError, signal: AbortSignal): Error {
  // A cancellation of our own tells why, not what the transport made of it.
  if (signal.aborted && (error.code === 1 || error.code === 4)) return abortError(path, signal);
  return errorFromStatus({ code: error.code, details: error.details });
}

function abortError(path: string, signal: AbortSignal): Error {
  const make = kindOf(signal.reason) === "deadline-exceeded" ? deadlineExceeded : canceled;
  return make(`call ${path}`, { cause: signal.reason });
}

async function* failed(error: Error): AsyncGenerator<never> {
  throw error;
}
