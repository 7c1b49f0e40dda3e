import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { once } from "node:events";
import type { Socket } from "node:net";
import { createServer } from "node:net";
import type { MethodDefinition as GrpcMethod, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { BoundService, MethodDefinition, ServiceDefinition } from "./definition.ts";
import { methodPath } from "./definition.ts";
import { defaultMaxMessageBytes } from "./limits.ts";
import type { ListenAddress } from "./listener.ts";
import { describeAddress, listen } from "./listener.ts";
import type { CallObserver, MethodShape, ServedMethod } from "./server-methods.ts";
import { grpcHandler } from "./server-methods.ts";

/** Told of every call of a server; for metrics. */
export interface RpcObserver {
  started(service: ServiceDefinition, method: MethodDefinition, shape: MethodShape): void;
  /** `code` is the gRPC status code, 0 for OK; `seconds` is how long the handler took. */
  handled(
    service: ServiceDefinition,
    method: MethodDefinition,
    shape: MethodShape,
    code: number,
    seconds: number,
  ): void;
}

/** Options of {@link createRpcServer}. */
export interface RpcServerOptions {
  readonly log?: Logger;
  /** Largest request in bytes; 16 MiB by default. Larger ones end with `resource-exhausted`. */
  readonly maxReceiveBytes?: number;
  /** Largest answer in bytes; 16 MiB by default. */
  readonly maxSendBytes?: number;
  readonly observer?: RpcObserver;
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
  const grpc = new Server({
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? defaultMaxMessageBytes,
    "grpc.max_send_message_length": options.maxSendBytes ?? defaultMaxMessageBytes,
    "grpc.enable_channelz": 0,
  });
  for (const service of services) addService(grpc, service, log, options.observer);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Socket>();
  const acceptor = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A peer that resets the connection is its own business; its calls see a cancellation.
    socket.on("error", (error) => log.debug({ err: error }, "connection failed"));
    injector.injectConnection(socket);
  });
  return new GrpcJsServer(grpc, acceptor, sockets);
}

class GrpcJsServer implements RpcServer {
  readonly #grpc: Server;
  readonly #acceptor: ReturnType<typeof createServer>;
  readonly #sockets: Set<Socket>;
  #stopped: Promise<void> | undefined;

  constructor(grpc: Server, acceptor: ReturnType<typeof createServer>, sockets: Set<Socket>) {
    this.#grpc = grpc;
    this.#acceptor = acceptor;
    this.#sockets = sockets;
  }

  async listen(address: ListenAddress): Promise<string> {
    await listen(this.#acceptor, address);
    return describeAddress(this.#acceptor, address);
  }

  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#shutDown(graceMs);
    return this.#stopped;
  }

  async #shutDown(graceMs: number): Promise<void> {
    const closed = this.#acceptor.listening ? once(this.#acceptor, "close") : Promise.resolve();
    if (this.#acceptor.listening) this.#acceptor.close();
    const timer = setTimeout(() => this.#force(), graceMs);
    await new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve()));
    clearTimeout(timer);
    this.#force();
    await closed;
  }

  #force(): void {
    this.#grpc.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(1_000);
  }
}

function addService(grpc: Server, service: BoundService, log: Logger, observer: RpcObserver | undefined): void {
  const { definition: definitions, handlers } = service;
  const methods: Record<string, GrpcMethod<Buffer, Buffer>> = {};
  const implementation: UntypedServiceImplementation = {};
  const callObserver = observer && observerOf(observer, definitions);
  for (const [key, definition] of Object.entries(definitions.methods)) {
    const handler = handlers[key];
    if (handler === undefined) throw new Error(`service ${definitions.fullName} lacks a handler for ${definition.name}`);
    methods[key] = {
      path: methodPath(definitions, definition),
      requestStream: definition.requestStream,
      responseStream: definition.responseStream,
      requestDeserialize: identity,
      requestSerialize: identity,
      responseDeserialize: identity,
      responseSerialize: identity,
    };
    const handle = handler.bind(handlers) as unknown as ServedMethod["handle"];
    implementation[key] = grpcHandler({ definition, handle, log, observer: callObserver });
  }
  grpc.addService(methods, implementation);
}

const identity = (bytes: Buffer): Buffer => bytes;

function observerOf(observer: RpcObserver, service: ServiceDefinition): CallObserver {
  return {
    started: (method, shape) => observer.started(service, method, shape),
    handled: (method, shape, code, seconds) => observer.handled(service, method, shape, code, seconds),
  };
}
