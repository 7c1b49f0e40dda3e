import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { DuplexCall, MethodDefinition, RpcChannel, RpcClient, ServiceDefinition } from "@ctrd/services";
import type { Peer } from "./peer.ts";

type UnaryMethod = (ctx: CallContext, request: unknown, options?: unknown) => Promise<unknown>;
type StreamMethod = (ctx: CallContext, request: unknown, options?: unknown) => AsyncIterable<unknown>;
type DuplexMethod = (ctx: CallContext, options?: unknown) => DuplexCall<unknown, unknown>;

/**
 * The channel of a proxy plugin: calls fail at once while its peer is away, and errors of the connection name the
 * plugin. Nothing is repeated: only the caller knows whether a call may run twice.
 */
export function guardChannel(channel: RpcChannel, peer: Peer): RpcChannel {
  return {
    address: channel.address,
    client: <D extends ServiceDefinition>(definition: D): RpcClient<D> => {
      const client = channel.client(definition) as Readonly<Record<string, unknown>>;
      const methods = Object.entries<MethodDefinition>(definition.methods).map(([key, method]): [string, unknown] => [
        key,
        guarded(peer, method, client[key]),
      ]);
      return Object.fromEntries(methods) as RpcClient<D>;
    },
    ready: (timeoutMs) => channel.ready(timeoutMs),
    keepConnected: (changed) => channel.keepConnected(changed),
    close: () => channel.close(),
    [Symbol.dispose]: () => channel.close(),
  };
}

function guarded(peer: Peer, { requestStream, responseStream }: MethodDefinition, method: unknown): unknown {
  if (requestStream) return duplex(peer, method as DuplexMethod);
  return responseStream ? serverStream(peer, method as StreamMethod) : unary(peer, method as UnaryMethod);
}

function unary(peer: Peer, method: UnaryMethod): UnaryMethod {
  return (ctx, request, options) => {
    const call = new GuardedCall(peer, ctx);
    return call.run(() => method(call.ctx, request, options));
  };
}

function serverStream(peer: Peer, method: StreamMethod): StreamMethod {
  return (ctx, request, options) => {
    const call = new GuardedCall(peer, ctx);
    return call.iterate(() => method(call.ctx, request, options));
  };
}

function duplex(peer: Peer, method: DuplexMethod): DuplexMethod {
  return (ctx, options) => {
    const guard = new GuardedCall(peer, ctx);
    guard.check();
    const call = method(guard.ctx, options);
    return {
      send: (message) => guard.run(() => call.send(message)),
      receive: () => guard.run(() => call.receive()),
      end: () => call.end(),
      cancel: () => call.cancel(),
      [Symbol.asyncIterator]: () => guard.iterate(() => call),
    };
  };
}

/** One call, whose errors are told apart: the connection's name the plugin, the peer's are passed on. */
class GuardedCall {
  /** The caller's context; while the connection is being made, the call ends when that fails. */
  readonly ctx: CallContext;
  readonly #peer: Peer;
  readonly #caller: AbortSignal;
  readonly #losses: number;

  constructor(peer: Peer, ctx: CallContext) {
    this.#peer = peer;
    this.#caller = ctx.signal;
    this.#losses = peer.losses;
    this.ctx = peer.connected ? ctx : withSignal(ctx, AbortSignal.any([ctx.signal, peer.attempt]));
  }

  /** @throws ContainerdError `unavailable` while the peer is away */
  check(): void {
    if (this.#peer.away) throw this.#peer.error(undefined);
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.check();
    try {
      return await work();
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  async *iterate<T>(start: () => AsyncIterable<T>): AsyncGenerator<T> {
    this.check();
    try {
      yield* start();
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  async #explain(error: unknown): Promise<unknown> {
    const kinds = ["unavailable", "internal", "canceled"] as const;
    if (this.#caller.aborted || !kinds.some((kind) => isKind(error, kind))) return error;
    // A call may end a moment before its connection does.
    for (let turn = 0; turn < 2 && !this.#isLost(); turn++) await new Promise((resolve) => setImmediate(resolve));
    return this.#isLost() ? this.#peer.error(error) : error;
  }

  #isLost(): boolean {
    return this.#peer.away || this.#peer.losses !== this.#losses;
  }
}

function withSignal(ctx: CallContext, signal: AbortSignal): CallContext {
  const { namespace, lease, log } = ctx;
  return lease === undefined ? { namespace, signal, log } : { namespace, lease, signal, log };
}
