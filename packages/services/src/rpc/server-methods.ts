import type { Logger } from "@ctrd/core/log";
import { canceled, isKind } from "@ctrd/core/errors";
import type {
  handleUnaryCall,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { serverContext } from "./call-context.ts";
import type { AnyHandler, MethodDefinition } from "./definition.ts";
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

/** Tells the observer, if there is one, that a call starts; returns what tells it that the call has ended. */
function observe(observer: CallObserver | undefined, method: MethodDefinition, shape: MethodShape): (code: number) => void {
  if (observer === undefined) return () => {};
  const start = performance.now();
  observer.started(method, shape);
  return (code) => observer.handled(method, shape, code, (performance.now() - start) / 1000);
}

/** What the methods of one service share. */
export interface MethodEnvironment {
  readonly log: Logger;
  readonly observer: CallObserver | undefined;
}

type Handler = (ctx: unknown, request: unknown) => Promise<unknown> & AsyncIterable<unknown>;

/** The shape of a method. */
export function methodShape(method: MethodDefinition): MethodShape {
  if (method.requestStream) return method.responseStream ? "bidi_stream" : "client_stream";
  return method.responseStream ? "server_stream" : "unary";
}

/** Adapts a handler to grpc-js. */
export function serverMethod(method: MethodDefinition, handler: AnyHandler, env: MethodEnvironment): UntypedHandleCall {
  const handle = handler as unknown as Handler;
  switch (methodShape(method)) {
    case "unary":
      return unaryMethod(method, handle, env);
    case "client_stream":
      return clientStreamMethod(method, handle, env);
    case "server_stream":
      return (call: ServerWritableStream<unknown, unknown>) => {
        void respond(method, handle, env, call, call.request);
      };
    case "bidi_stream":
      return (call: ServerDuplexStream<unknown, unknown>) => {
        void respond(method, handle, env, call, incoming(call));
      };
  }
}

function unaryMethod(method: MethodDefinition, handle: Handler, env: MethodEnvironment): handleUnaryCall<unknown, unknown> {
  return (call: ServerUnaryCall<unknown, unknown>, callback) => {
    void answerOnce(method, handle, env, call, call.request, callback);
  };
}

function clientStreamMethod(method: MethodDefinition, handle: Handler, env: MethodEnvironment): UntypedHandleCall {
  return (call: ServerReadableStream<unknown, unknown>, callback: (error: WireStatus | null, value?: unknown) => void) => {
    void answerOnce(method, handle, env, call, incoming(call), callback);
  };
}

async function answerOnce(
  method: MethodDefinition,
  handle: Handler,
  env: MethodEnvironment,
  call: ServerUnaryCall<unknown, unknown> | ServerReadableStream<unknown, unknown>,
  request: unknown,
  callback: (error: WireStatus | null, value?: unknown) => void,
): Promise<void> {
  const ended = observe(env.observer, method, methodShape(method));
  const { ctx, finish } = serverContext(call, env.log);
  let status: WireStatus | null = null;
  let value: unknown;
  try {
    value = await handle(ctx, request);
  } catch (error) {
    status = statusFromError(error, ctx.log);
  }
  finish();
  ended(status?.code ?? 0);
  callback(status, value);
}

/** Sends a stream of answers, as fast as the peer takes them. */
async function respond(
  method: MethodDefinition,
  handle: Handler,
  env: MethodEnvironment,
  call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>,
  request: unknown,
): Promise<void> {
  const ended = observe(env.observer, method, methodShape(method));
  const { ctx, finish } = serverContext(call, env.log);
  const send = createSender<unknown>(call);
  let status: WireStatus | undefined;
  try {
    const answers = handle(ctx, request);
    // Headers now, so that a peer which waits for them knows that the call has begun (a subscription is registered).
    call.sendMetadata(new Metadata());
    for await (const answer of answers) await send(answer);
  } catch (error) {
    // A peer that has gone away is no failure of the handler.
    status = call.cancelled && !isKind(error, "deadline-exceeded") ? { code: 1, details: "" } : statusFromError(error, ctx.log);
  }
  finish();
  ended(status?.code ?? 0);
  if (call.cancelled) return;
  if (status === undefined) call.end();
  else call.emit("error", status);
}

/** The messages of the peer. Leaving the loop early keeps the call open for answers. */
async function* incoming(
  call: ServerReadableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>,
): AsyncGenerator<unknown> {
  try {
    yield* call.iterator({ destroyOnReturn: false });
  } catch (error) {
    throw call.cancelled ? canceled("receive a message: the peer ended the call", { cause: error }) : error;
  }
}
