/**
 * The context of one call: namespace, lease, cancellation, log. It is passed as the first argument of every
 * component method, never looked up.
 *
 * @module
 */
import { failedPrecondition } from "./errors.ts";
import { checkIdentifier } from "./identifiers.ts";
import type { Logger } from "./log.ts";
import { silentLogger } from "./log.ts";
import type { Operation } from "./operations.ts";
import type { Span } from "./tracing.ts";

/** What every component method receives first. */
export interface CallContext {
  /** Namespace of the call; empty when the caller named none. Use {@link requireNamespace} to read it. */
  readonly namespace: string;
  /** Lease that new resources of this call join. */
  readonly lease?: string;
  /** Aborts when the caller cancels, the deadline passes, or the daemon stops. Every wait honours it. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** What the call is a part of, when it is traced. */
  readonly span?: Span;
  /** The operation that the call is, or is a part of; see `@ctrd/core/operations`. */
  readonly operation?: Operation | undefined;
}

/** Options of {@link createContext}. */
export interface ContextOptions {
  namespace?: string;
  lease?: string;
  signal?: AbortSignal;
  log?: Logger;
  span?: Span | undefined;
  operation?: Operation | undefined;
}

const never: AbortSignal = new AbortController().signal;

/** Makes a context; without options it has no namespace, is never aborted and logs nothing. */
export function createContext(options: ContextOptions = {}): CallContext {
  const base = {
    namespace: options.namespace ?? "",
    signal: options.signal ?? never,
    log: options.log ?? silentLogger,
    operation: options.operation,
  };
  const { lease, span } = options;
  if (lease === undefined && span === undefined) return base;
  return { ...base, ...(lease === undefined ? {} : { lease }), ...(span === undefined ? {} : { span }) };
}

/** The same context in another namespace. */
export function withNamespace(ctx: CallContext, namespace: string): CallContext {
  return { ...ctx, namespace };
}

/** The same context with `lease` for what the call makes. */
export function withLease(ctx: CallContext, lease: string): CallContext {
  return { ...ctx, lease };
}

/** The same context with no lease. */
export function withoutLease(ctx: CallContext): CallContext {
  const { namespace, signal, log, span, operation } = ctx;
  return span === undefined ? { namespace, signal, log, operation } : { namespace, signal, log, span, operation };
}

/** The same context, aborted also by `signal`. */
export function withSignal(ctx: CallContext, signal: AbortSignal): CallContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, signal]) };
}

/** The same context, never aborted: for cleaning up after a call that may have been. */
export function withoutCancellation(ctx: CallContext): CallContext {
  return { ...ctx, signal: never };
}

/** The promise, or the abort if that comes first; the promise's own failure is then nobody's. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {});
  signal.throwIfAborted();
  const { promise: gone, reject } = Promise.withResolvers<never>();
  const leave = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([promise, gone]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/**
 * The namespace of the call.
 *
 * @throws ContainerdError `failed-precondition` when there is none, `invalid-argument` when it is malformed.
 */
export function requireNamespace(ctx: CallContext): string {
  if (ctx.namespace === "") throw failedPrecondition("namespace is required");
  checkIdentifier("namespace", ctx.namespace);
  return ctx.namespace;
}
