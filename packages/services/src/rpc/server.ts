import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Operations } from "@ctrd/core/operations";
import type { Tracer } from "@ctrd/core/tracing";
import { once } from "node:events";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Http2Stream } from "../http2/index.ts";
import { encodeHeaders, Http2Connection } from "../http2/index.ts";
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

/** What a server proves itself with, as PEM. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Clients must have a certificate of it. */
  readonly ca?: string;
}

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
  /** Serves over TLS. */
  readonly tls?: ServerTls;
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
  const connections = new Set<Http2Connection>();
  const serve = (socket: Socket): void => {
    const connection: Http2Connection = new Http2Connection(socket, {
      stream: (stream) => serveStream(methods, limits, stream),
      // A peer that breaks its connection is its own business; its calls see a cancellation.
      error: (error) => log.debug({ err: error }, "connection failed"),
      close: () => connections.delete(connection),
    });
    connections.add(connection);
  };
  return new Http2RpcServer(openServer(serve, options.tls), connections);
}

function openServer(serve: (socket: Socket) => void, tls: ServerTls | undefined): Server {
  if (tls === undefined) return createServer(serve);
  const clients = tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ ...tls, ...clients, ALPNProtocols: ["h2"] }, serve);
}

class Http2RpcServer implements RpcServer {
  readonly #server: Server;
  readonly #connections: ReadonlySet<Http2Connection>;
  #stopped: Promise<void> | undefined;

  constructor(server: Server, connections: ReadonlySet<Http2Connection>) {
    this.#server = server;
    this.#connections = connections;
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
    const wasListening = this.#server.listening;
    // Emitted when the connections are gone, too.
    const closed = once(this.#server, "close");
    if (wasListening) this.#server.close();
    // Tells the peers to start no more calls; a connection ends with its last one.
    for (const connection of this.#connections) connection.close();
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    if (wasListening) await closed;
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

const notPost = encodeHeaders([[":status", "405"]]);
const notGrpc = encodeHeaders([[":status", "415"]]);

function serveStream(methods: Methods, limits: MessageLimits, stream: Http2Stream): void {
  const { ":path": path = "", ":method": verb, "content-type": contentType = "" } = stream.headers;
  if (verb !== "POST" || !contentType.startsWith("application/grpc")) {
    stream.respond(verb === "POST" ? notGrpc : notPost, true);
    stream.discard();
    return;
  }
  const call = new ServerStream(stream, path, limits);
  const method = methods.get(path);
  if (method === undefined) call.finish({ code: 12, details: `unknown method ${path}` });
  else void runCall(method, call);
}
