/**
 * The ttrpc client.
 *
 * @module
 */
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { Request } from "@ctrd/api/ttrpc/request";
import { canceled, deadlineExceeded, invalidArgument, resourceExhausted, unavailable } from "@ctrd/core/errors";
import type { PendingCall } from "./client-calls.ts";
import { PendingResponse, PendingStream } from "./client-calls.ts";
import { FrameConnection } from "./connection.ts";
import type {
  MessageCodec,
  MethodDefinition,
  MethodsOfKind,
  RequestOf,
  ResponseOf,
  ServiceDefinition,
} from "./definition.ts";
import type { Frame } from "./frame.ts";
import { FrameFlag, FrameType, maxFrameLength } from "./frame.ts";
import { pairsFromMetadata } from "./metadata.ts";

const nothing: Uint8Array = new Uint8Array(0);
/** Field number of `payload` in `ttrpc.Request`. */
const requestPayload = 3;

/** Options of one call. */
export interface CallOptions {
  metadata?: ReadonlyMap<string, readonly string[]>;
  /** Gives the call up: it fails with `canceled`, or with the signal's own ContainerdError. The server is not told. */
  signal?: AbortSignal;
  /** Deadline, in milliseconds from now; sent to the server too. Fails with `deadline-exceeded`. */
  timeoutMs?: number;
}

/** Calls services over one connection; any number of calls at a time. */
export class TtrpcClient {
  readonly #connection: FrameConnection;
  readonly #pending: Map<number, PendingCall> = new Map();
  readonly #listeners: Set<(error: Error | undefined) => void> = new Set();
  #nextId = 1;
  #closed = false;

  /** @param socket a connected stream, which the client owns from now on */
  constructor(socket: Duplex) {
    this.#connection = new FrameConnection(
      socket,
      {
        frame: (frame) => this.#frame(frame),
        oversize: (streamId, length) => {
          const why = `receive ttrpc message: ${length} bytes exceed the limit of ${maxFrameLength} bytes`;
          this.#settle(streamId, resourceExhausted(why));
        },
      },
      (error) => this.#lost(error),
    );
  }

  /**
   * Connects to a unix socket, once.
   *
   * @throws the socket's error (`ECONNREFUSED`, `ENOENT` …), or the reason of `signal`
   */
  static async connect(path: string, signal?: AbortSignal): Promise<TtrpcClient> {
    signal?.throwIfAborted();
    const socket = connect({ path });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal?.reason as Error);
    socket.once("connect", resolve);
    socket.once("error", reject);
    signal?.addEventListener("abort", abort);
    try {
      await promise;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      socket.off("error", reject);
      signal?.removeEventListener("abort", abort);
      if (socket.destroyed) socket.on("error", () => {});
    }
    return new TtrpcClient(socket);
  }

  /** Whether the connection is gone. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Calls `listener` once when the connection is gone, whoever closed it; at the next tick when it is gone already.
   *
   * @returns a function that removes the listener
   */
  onClose(listener: (error: Error | undefined) => void): () => void {
    if (this.#closed) queueMicrotask(() => listener(undefined));
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls a unary method.
   *
   * @throws ContainerdError of the server's status; `unavailable` with the text `ttrpc: closed` when the connection is
   * lost; `canceled`, `deadline-exceeded`; `resource-exhausted` for a message over 4 MiB
   */
  async call<D extends ServiceDefinition, K extends MethodsOfKind<D, false, false>>(
    definition: D,
    method: K,
    request: RequestOf<D, K>,
    options: CallOptions = {},
  ): Promise<ResponseOf<D, K>> {
    const codec = methodOf(definition, method);
    const pending = new PendingResponse(codec.responseType as MessageCodec<ResponseOf<D, K>>);
    this.#open(pending, definition.fullName, codec, 0, codec.requestType.encode(request).finish(), options);
    return pending.promise;
  }

  /** Calls a server-streaming method. Leaving the iteration early gives the call up. Errors are those of `call`. */
  serverStream<D extends ServiceDefinition, K extends MethodsOfKind<D, false, true>>(
    definition: D,
    method: K,
    request: RequestOf<D, K>,
    options: CallOptions = {},
  ): AsyncIterableIterator<ResponseOf<D, K>> {
    const codec = methodOf(definition, method);
    const payload = codec.requestType.encode(request).finish();
    return this.#openStream<ResponseOf<D, K>>(definition, codec, FrameFlag.remoteClosed, payload, options).queue;
  }

  /**
   * Calls a client-streaming method: sends `requests`, then waits for the answer. An early answer ends the sending.
   * Errors are those of `call`, and whatever `requests` throws.
   */
  async clientStream<D extends ServiceDefinition, K extends MethodsOfKind<D, true, false>>(
    definition: D,
    method: K,
    requests: AsyncIterable<RequestOf<D, K>> | Iterable<RequestOf<D, K>>,
    options: CallOptions = {},
  ): Promise<ResponseOf<D, K>> {
    const codec = methodOf(definition, method);
    const pending = new PendingResponse(codec.responseType as MessageCodec<ResponseOf<D, K>>);
    const id = this.#open(pending, definition.fullName, codec, FrameFlag.remoteOpen, nothing, options);
    void this.#sendAll(id, codec, requests);
    return pending.promise;
  }

  /** Calls a method that streams both ways. An error of `requests` ends the call with it. */
  duplex<D extends ServiceDefinition, K extends MethodsOfKind<D, true, true>>(
    definition: D,
    method: K,
    requests: AsyncIterable<RequestOf<D, K>> | Iterable<RequestOf<D, K>>,
    options: CallOptions = {},
  ): AsyncIterableIterator<ResponseOf<D, K>> {
    const codec = methodOf(definition, method);
    const opened = this.#openStream<ResponseOf<D, K>>(definition, codec, FrameFlag.remoteOpen, nothing, options);
    if (opened.id !== undefined) void this.#sendAll(opened.id, codec, requests);
    return opened.queue;
  }

  /** Closes the connection; pending calls fail with `ttrpc: closed`. */
  close(): void {
    this.#connection.destroy();
    this.#lost(undefined);
  }

  /** Registers a call and sends its Request frame. */
  #open(
    pending: PendingCall,
    service: string,
    method: MethodDefinition,
    flags: number,
    payload: Uint8Array,
    options: CallOptions,
  ): number {
    if (this.#closed || this.#connection.closed) throw closedError(undefined);
    if (options.signal?.aborted === true) throw abortError(options.signal, method.name);
    if (options.timeoutMs !== undefined && options.timeoutMs <= 0) throw deadlineExceeded(`ttrpc ${method.name}`);
    const id = this.#nextId;
    if (id > 0xffff_ffff) throw unavailable("ttrpc: the connection has no stream ids left");
    const envelope = Request.encode({
      service,
      method: method.name,
      payload: nothing,
      timeoutNano: options.timeoutMs === undefined ? 0n : BigInt(Math.round(options.timeoutMs * 1e6)),
      metadata: options.metadata === undefined ? [] : pairsFromMetadata(options.metadata),
    }).finish();
    this.#connection.send(id, FrameType.request, flags, envelope, requestPayload, payload);
    this.#nextId = id + 2;
    this.#pending.set(id, pending);
    if (options.signal !== undefined || options.timeoutMs !== undefined) {
      pending.stopWatch = this.#watch(id, method.name, options);
    }
    return id;
  }

  #openStream<T>(
    definition: ServiceDefinition,
    method: MethodDefinition,
    flags: number,
    payload: Uint8Array,
    options: CallOptions,
  ): { id: number | undefined; queue: AsyncIterableIterator<T> } {
    let id: number | undefined;
    const forget = (): void => {
      if (id !== undefined) this.#take(id);
    };
    const flow = { pause: () => this.#connection.pause(), resume: () => this.#connection.resume() };
    const pending = new PendingStream<T>(method.responseType as MessageCodec<T>, flow, forget);
    try {
      id = this.#open(pending, definition.fullName, method, flags, payload, options);
    } catch (error) {
      pending.fail(error);
      return { id: undefined, queue: pending.queue };
    }
    pending.queue.onReturn = forget;
    return { id, queue: pending.queue };
  }

  async #sendAll<T>(id: number, method: MethodDefinition, requests: AsyncIterable<T> | Iterable<T>): Promise<void> {
    try {
      for await (const request of requests) {
        if (!this.#pending.has(id)) return;
        const payload = method.requestType.encode(request).finish();
        const room = this.#connection.send(id, FrameType.data, 0, nothing, 0, payload);
        if (!room) await this.#connection.drained();
      }
      if (!this.#pending.has(id)) return;
      this.#connection.send(id, FrameType.data, FrameFlag.remoteClosed | FrameFlag.noData, nothing, 0, nothing);
    } catch (error) {
      this.#settle(id, error);
    }
  }

  /** Ends call `id` at its deadline or when its signal aborts. Returns what stops the watch. */
  #watch(id: number, what: string, { signal, timeoutMs }: CallOptions): () => void {
    const abort = (): void => this.#settle(id, abortError(signal, what));
    signal?.addEventListener("abort", abort, { once: true });
    const timer =
      timeoutMs === undefined || timeoutMs > 0x7fff_ffff
        ? undefined
        : setTimeout(() => this.#settle(id, deadlineExceeded(`ttrpc ${what} after ${timeoutMs} ms`)), timeoutMs);
    return () => {
      signal?.removeEventListener("abort", abort);
      clearTimeout(timer);
    };
  }

  #settle(id: number, error: unknown): void {
    this.#take(id)?.fail(error);
  }

  /** Removes a call: it is over. */
  #take(id: number): PendingCall | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    pending.stopWatch?.();
    return pending;
  }

  #frame(frame: Frame): void {
    // A frame for an unknown id answers a call that was given up.
    if (this.#pending.get(frame.streamId)?.frame(frame) === true) this.#take(frame.streamId);
  }

  #lost(cause: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = closedError(cause);
    for (const id of [...this.#pending.keys()]) this.#settle(id, error);
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener(cause);
  }
}

function methodOf(definition: ServiceDefinition, name: string): MethodDefinition {
  const method = definition.methods[name];
  if (method === undefined) throw invalidArgument(`service ${definition.fullName} has no method ${name}`);
  return method;
}

function closedError(cause: Error | undefined): Error {
  return unavailable("ttrpc: closed", { cause });
}

function abortError(signal: AbortSignal | undefined, what: string): Error {
  const reason: unknown = signal?.reason;
  if (reason instanceof Error && reason.name === "ContainerdError") return reason;
  if (reason instanceof Error && reason.name === "TimeoutError") return deadlineExceeded(`ttrpc ${what}`);
  return canceled(`ttrpc ${what}`, { cause: reason });
}
