import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Operations } from "@ctrd/core/operations";
import type { Tracer } from "@ctrd/core/tracing";
import { once } from "node:events";
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:http2";
import type { NameCaller } from "./call-operation.ts";
import type { BoundService } from "./definition.ts";
import { methodPath } from "./definition.ts";
import { defaultMaxMessageBytes } from "./limits.ts";
import type { ListenAddress } from "./listener.ts";
import { describeAddress, listen } from "./listener.ts";
import type { CallHost, RpcObserver, ServedMethod } from "./server-methods.ts";
import { methodShape, runCall } from "./server-methods.ts";
import type { MessageLimits } from "./server-stream.ts";
import { ServerStream } from "./server-stream.ts";

/** Options of {@link createRpcServer}. */
export interface RpcServerOptions {
  readonly log?: Logger;
  /** Largest request in bytes; 16 MiB by default. Larger ones end with `resource-exhausted`. */
  readonly maxReceiveBytes?: number;
  /** Largest answer in bytes; 16 MiB by default. */
  readonly maxSendBytes?: number;
  readonly observer?: RpcObserver;
  /** Makes a span of every call; of the caller's, when it sends one. */
  readonly tracer?: Tracer;
  /** Whether log lines of calls name their trace. */
  readonly logTraceId?: boolean;
  /** Where calls are listed while they are under way. */
  readonly operations?: Operations | undefined;
  /** Names who calls, for {@link operations}. */
  readonly nameCaller?: NameCaller;
}

/** A gRPC server. */
export interface RpcServer extends AsyncDisposable {
  /**
   * Starts to listen.
   *
   * @returns the address as text; for TCP port 0 with the port that was chosen
   * @throws ContainerdError `failed-precondition` when the address is in use, `invalid-argument` for a bad one
   */
  listen(address: ListenAddress): Promise<string>;
  /** Stops accepting, lets calls end, and cancels what is left after `graceMs` milliseconds. */
  stop(graceMs: number): Promise<void>;
}

/** Receive window of a stream in bytes: a content chunk with its header fits. */
const streamWindow = 2 << 20;
/** Receive window of a connection in bytes: several uploads at once do not wait for each other. */
const connectionWindow = 8 << 20;

/**
 * Resets that a connection may send before it is closed as abusive. containerd's Go client reads blobs in pieces of
 * 32 KiB, each a call that it resets: Node's 1000 at 33 per second cut it off within 50 MB. Callers here may use the
 * whole API anyway, so there is nothing to protect from their resets.
 */
const resetLimit = 0x7fff_ffff;

/** Makes a server for `services`; {@link RpcServer.listen} starts it. */
export function createRpcServer(services: readonly BoundService[], options: RpcServerOptions = {}): RpcServer {
  const log = options.log ?? silentLogger;
  const { tracer, logTraceId = false, operations, nameCaller } = options;
  const host: CallHost = { log, tracer, logTraceId, operations, nameCaller };
  const methods = servedMethods(services, host, options.observer);
  const limits = {
    maxReceiveBytes: options.maxReceiveBytes ?? defaultMaxMessageBytes,
    maxSendBytes: options.maxSendBytes ?? defaultMaxMessageBytes,
  };
  const server = createServer({
    settings: { initialWindowSize: streamWindow, enablePush: false },
    streamResetBurst: resetLimit,
    streamResetRate: resetLimit,
    // In MB. Node drops streams at the limit, however slow their reader may be; flow control and the two messages that
    // a call keeps are the bound here.
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
    maxSendHeaderBlockLength: 1 << 20,
  });
  server.setTimeout(0);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.setLocalWindowSize(connectionWindow);
  });
  // A peer that breaks its connection is its own business; its calls see a cancellation.
  server.on("sessionError", (error) => log.debug({ err: error }, "connection failed"));
  server.on("stream", (stream, headers) => serveStream(methods, limits, stream, headers));
  return new Http2RpcServer(server, sessions);
}

class Http2RpcServer implements RpcServer {
  readonly #server: Http2Server;
  readonly #sessions: ReadonlySet<ServerHttp2Session>;
  #stopped: Promise<void> | undefined;

  constructor(server: Http2Server, sessions: ReadonlySet<ServerHttp2Session>) {
    this.#server = server;
    this.#sessions = sessions;
  }

  async listen(address: ListenAddress): Promise<string> {
    await listen(this.#server, address);
    return describeAddress(this.#server, address);
  }

  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#shutDown(graceMs);
    return this.#stopped;
  }

  async #shutDown(graceMs: number): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, "close") : Promise.resolve();
    if (this.#server.listening) this.#server.close();
    const ended = [...this.#sessions].map((session) => once(session, "close"));
    // Tells the peer to start no more calls; the session closes with its last one.
    for (const session of this.#sessions) session.close();
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, graceMs);
    await Promise.all([closed, ...ended]);
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(1_000);
  }
}

type Methods = ReadonlyMap<string, ServedMethod>;

function servedMethods(services: readonly BoundService[], host: CallHost, observer: RpcObserver | undefined): Methods {
  const methods = new Map<string, ServedMethod>();
  for (const { definition: service, handlers, borrowing } of services) {
    for (const [key, definition] of Object.entries(service.methods)) {
      const path = methodPath(service, definition);
      const handler = handlers[key];
      if (handler === undefined) throw new Error(`service ${service.fullName} lacks a handler for ${definition.name}`);
      if (methods.has(path)) throw new Error(`service ${service.fullName} is served twice`);
      const handle = handler.bind(handlers) as unknown as ServedMethod["handle"];
      const borrows = borrowing.has(key);
      methods.set(path, { service, definition, shape: methodShape(definition), handle, borrows, observer, host });
    }
  }
  return methods;
}

function serveStream(
  methods: Methods,
  limits: MessageLimits,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void {
  const path = headers[":path"] ?? "";
  const contentType = headers["content-type"] ?? "";
  if (headers[":method"] !== "POST" || !contentType.startsWith("application/grpc")) {
    stream.on("error", () => {});
    stream.respond({ ":status": headers[":method"] === "POST" ? 415 : 405 }, { endStream: true });
    return;
  }
  const call = new ServerStream(stream, headers, path, limits);
  const method = methods.get(path);
  if (method === undefined) call.finish({ code: 12, details: `unknown method ${path}` });
  else void runCall(method, call);
}
