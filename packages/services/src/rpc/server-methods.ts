import type { CallContext } from "@ctrd/core/context";
import { codeFromKind, internal, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { namespaceHeader } from "@ctrd/core/namespaces";
import type { Operations } from "@ctrd/core/operations";
import type { Span, Tracer } from "@ctrd/core/tracing";
import { parseTraceparent, traceparentHeader, tracestateHeader } from "@ctrd/core/tracing";
import { asBuffer } from "./buffers.ts";
import { firstValue, serverContext } from "./call-context.ts";
import type { NameCaller } from "./call-operation.ts";
import { CallStart } from "./call-operation.ts";
import type { MessageCodec, MethodDefinition, ServiceDefinition } from "./definition.ts";
import { EncodedMessage } from "./encoded-message.ts";
import { messageMemory } from "./message-memory.ts";
import type { ServerStream } from "./server-stream.ts";
import type { WireStatus } from "./status.ts";
import { statusFromError } from "./status.ts";

/** How a method is called, as Prometheus labels name it. */
export type MethodShape = "unary" | "client_stream" | "server_stream" | "bidi_stream";

/** Told of every call of a server; for metrics. */
export interface RpcObserver {
  started(service: ServiceDefinition, method: MethodDefinition, shape: MethodShape): void;
  /** One message has come. */
  received(service: ServiceDefinition, method: MethodDefinition, shape: MethodShape): void;
  /** One message has gone. */
  sent(service: ServiceDefinition, method: MethodDefinition, shape: MethodShape): void;
  /** `code` is the gRPC status code, 0 for OK; `seconds` is how long the handler took. */
  handled(
    service: ServiceDefinition,
    method: MethodDefinition,
    shape: MethodShape,
    code: number,
    seconds: number,
  ): void;
}

/** A method with what serves it. */
export interface ServedMethod {
  readonly service: ServiceDefinition;
  readonly definition: MethodDefinition;
  readonly shape: MethodShape;
  /** The handler: a promise for one answer, an async iterable for a stream. */
  readonly handle: (ctx: CallContext, request: unknown) => Promise<unknown> & AsyncIterable<unknown>;
  /** Whether it is done with a message of the peer's stream when it asks for the next. */
  readonly borrows: boolean;
  readonly observer: RpcObserver | undefined;
  readonly host: CallHost;
}

/** What all methods of a server share. */
export interface CallHost {
  readonly log: Logger;
  readonly tracer: Tracer | undefined;
  readonly logTraceId: boolean;
  readonly operations: Operations | undefined;
  readonly nameCaller: NameCaller | undefined;
}

/** The shape of a method. */
export function methodShape(method: MethodDefinition): MethodShape {
  if (method.requestStream) return method.responseStream ? "bidi_stream" : "client_stream";
  return method.responseStream ? "server_stream" : "unary";
}

/** Runs one call to its end. It never rejects. */
export async function runCall(method: ServedMethod, call: ServerStream): Promise<void> {
  const { host } = method;
  const ended = observe(method);
  const span = host.tracer === undefined ? undefined : startSpan(host.tracer, method, call);
  const start = new CallStart(method, call, host.nameCaller);
  call.operation = host.operations?.start(start);
  const ctx = serverContext(call, { log: host.log, span, logTraceId: host.logTraceId });
  start.namespace = ctx.namespace;
  let status: WireStatus | undefined;
  try {
    if (method.definition.responseStream) await answerMany(method, ctx, call, start);
    else await answerOnce(method, ctx, call, start);
  } catch (error) {
    // A handler that fails because its peer left has not failed.
    status = statusFromError(call.cancelReason ?? error, host.log);
    call.finish(status);
  }
  call.operation?.end();
  const code = status?.code ?? (call.cancelled ? codeFromKind("canceled") : 0);
  ended(code);
  if (span !== undefined) endSpan(span, code, status);
}

function startSpan(tracer: Tracer, { service, definition }: ServedMethod, { headers }: ServerStream): Span {
  const name = `${service.fullName}/${definition.name}`;
  const parent = parseTraceparent(firstValue(headers, traceparentHeader), headers[tracestateHeader] ?? "");
  const namespace = firstValue(headers, namespaceHeader);
  return tracer.start(name, "server", parent, {
    "rpc.system": "grpc",
    "rpc.service": service.fullName,
    "rpc.method": definition.name,
    ...(namespace === "" ? {} : { "containerd.namespace": namespace }),
  });
}

/** Codes that are the server's fault: Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss. */
const faults: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

function endSpan(span: Span, code: number, status: WireStatus | undefined): void {
  span.set({ "rpc.grpc.status_code": code });
  span.end(status !== undefined && faults.has(code) ? new Error(status.details) : undefined);
}

async function answerOnce(method: ServedMethod, ctx: CallContext, call: ServerStream, start: CallStart): Promise<void> {
  const { definition, handle } = method;
  start.request = definition.requestStream ? incoming(method, call) : await onlyRequest(method, call);
  const answer = await handle(ctx, start.request);
  call.answer(answer instanceof EncodedMessage ? answer.bytes : encode(definition.responseType, answer));
  method.observer?.sent(method.service, definition, method.shape);
}

/** Sends a stream of answers, as fast as the peer takes them. */
async function answerMany(method: ServedMethod, ctx: CallContext, call: ServerStream, start: CallStart): Promise<void> {
  const { definition, handle } = method;
  start.request = definition.requestStream ? incoming(method, call) : await onlyRequest(method, call);
  const answers = handle(ctx, start.request);
  // Headers now, so that a peer which waits for them knows that the call has begun (a subscription is registered).
  call.sendHeaders();
  for await (const answer of answers) {
    const sent =
      answer instanceof EncodedMessage
        ? call.send(answer.bytes, answer.onSent)
        : call.send(encode(definition.responseType, answer));
    if (!(await sent)) break;
    method.observer?.sent(method.service, definition, method.shape);
  }
  call.finish(undefined);
}

async function onlyRequest(method: ServedMethod, call: ServerStream): Promise<unknown> {
  const { definition, observer, service, shape } = method;
  const request = decode(definition.requestType, await call.readOne());
  observer?.received(service, definition, shape);
  return request;
}

/** The messages of the peer. Leaving the loop early keeps the call open for answers. */
async function* incoming(
  { definition, borrows, observer, service, shape }: ServedMethod,
  call: ServerStream,
): AsyncGenerator<unknown> {
  const allocate = borrows ? (length: number) => messageMemory.take(length) : undefined;
  for await (const bytes of call.readMany(allocate)) {
    const message = decode(definition.requestType, bytes);
    observer?.received(service, definition, shape);
    yield message;
    if (borrows) messageMemory.give(bytes);
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
function observe({ observer, service, definition, shape }: ServedMethod): (code: number) => void {
  if (observer === undefined) return () => {};
  const start = performance.now();
  observer.started(service, definition, shape);
  return (code) => observer.handled(service, definition, shape, code, (performance.now() - start) / 1000);
}
