import type { CallContext } from "@ctrd/core/context";
import { canceled, internal, isKind, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type {
  handleUnaryCall,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { asBuffer } from "./buffers.ts";
import { serverContext } from "./call-context.ts";
import type { MessageCodec, MethodDefinition } from "./definition.ts";
import { createSender } from "./sender.ts";
import type { WireStatus } from "./status.ts";
import { statusFromError } from "./status.ts";

/** How a method is called, as Prometheus labels name it. */
export type MethodShape = "unary" | "client_stream" | "server_stream" | "bidi_stream";

/** Told of every call; `code` is the gRPC status code, 0 for OK. */
export interface CallObserver {
  started(method: MethodDefinition, shape: MethodShape): void;
  handled(method: MethodDefinition, shape: MethodShape, code: number, seconds: number): void;
}

/** A method with what serves it. Messages cross grpc-js as bytes: failures to decode or encode are told by us. */
export interface ServedMethod {
  readonly definition: MethodDefinition;
  /** The handler: a promise for one answer, an async iterable for a stream. */
  readonly handle: (ctx: CallContext, request: unknown) => Promise<unknown> & AsyncIterable<unknown>;
  readonly log: Logger;
  readonly observer: CallObserver | undefined;
}

type Respond = (error: WireStatus | null, answer?: Buffer) => void;
type OneAnswerCall = ServerUnaryCall<Buffer, Buffer> | ServerReadableStream<Buffer, Buffer>;
type ManyAnswersCall = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;
type IncomingCall = ServerReadableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** The shape of a method. */
export function methodShape(method: MethodDefinition): MethodShape {
  if (method.requestStream) return method.responseStream ? "bidi_stream" : "client_stream";
  return method.responseStream ? "server_stream" : "unary";
}

/** Adapts a method to grpc-js. */
export function grpcHandler(method: ServedMethod): UntypedHandleCall {
  const { requestType } = method.definition;
  const unary: handleUnaryCall<Buffer, Buffer> = (call, respond) => {
    void answerOnce(method, call, () => decode(requestType, call.request), respond);
  };
  switch (methodShape(method.definition)) {
    case "unary":
      return unary;
    case "client_stream":
      return (call: ServerReadableStream<Buffer, Buffer>, respond: Respond) => {
        void answerOnce(method, call, () => incoming(call, requestType), respond);
      };
    case "server_stream":
      return (call: ServerWritableStream<Buffer, Buffer>) => {
        void answerMany(method, call, () => decode(requestType, call.request));
      };
    case "bidi_stream":
      return (call: ServerDuplexStream<Buffer, Buffer>) => {
        void answerMany(method, call, () => incoming(call, requestType));
      };
  }
}

async function answerOnce(
  method: ServedMethod,
  call: OneAnswerCall,
  request: () => unknown,
  respond: Respond,
): Promise<void> {
  const ended = observe(method);
  const { ctx, finish } = serverContext(call, method.log);
  let status: WireStatus | null = null;
  let answer: Buffer | undefined;
  try {
    answer = encode(method.definition.responseType, await method.handle(ctx, request()));
  } catch (error) {
    status = statusFromError(error, ctx.log);
  }
  finish();
  ended(status?.code ?? 0);
  respond(status, answer);
}

/** Sends a stream of answers, as fast as the peer takes them. */
async function answerMany(method: ServedMethod, call: ManyAnswersCall, request: () => unknown): Promise<void> {
  const ended = observe(method);
  const { ctx, finish } = serverContext(call, method.log);
  const send = createSender<Buffer>(call);
  let status: WireStatus | undefined;
  try {
    const answers = method.handle(ctx, request());
    // Headers now, so that a peer which waits for them knows that the call has begun (a subscription is registered).
    call.sendMetadata(new Metadata());
    for await (const answer of answers) await send(encode(method.definition.responseType, answer));
  } catch (error) {
    // A peer that has gone away is no failure of the handler.
    const left = call.cancelled && !isKind(error, "deadline-exceeded");
    status = left ? { code: 1, details: "" } : statusFromError(error, ctx.log);
  }
  finish();
  ended(status?.code ?? 0);
  if (call.cancelled) return;
  if (status === undefined) call.end();
  else call.emit("error", status);
}

/** The messages of the peer. Leaving the loop early keeps the call open for answers. */
async function* incoming(call: IncomingCall, codec: MessageCodec<unknown>): AsyncGenerator<unknown> {
  try {
    for await (const bytes of call.iterator({ destroyOnReturn: false })) yield decode(codec, bytes as Buffer);
  } catch (error) {
    throw call.cancelled ? canceled("receive a message: the peer ended the call", { cause: error }) : error;
  }
}

function decode(codec: MessageCodec<unknown>, bytes: Buffer): unknown {
  try {
    return codec.decode(bytes);
  } catch (error) {
    throw internal(`request is malformed: ${messageOf(error)}`, { cause: error });
  }
}

function encode(codec: MessageCodec<unknown>, answer: unknown): Buffer {
  return asBuffer(codec.encode(answer).finish());
}

/** Tells the observer, if there is one, that a call starts; returns what tells it that the call has ended. */
function observe({ observer, definition }: ServedMethod): (code: number) => void {
  if (observer === undefined) return () => {};
  const start = performance.now();
  const shape = methodShape(definition);
  observer.started(definition, shape);
  return (code) => observer.handled(definition, shape, code, (performance.now() - start) / 1000);
}
