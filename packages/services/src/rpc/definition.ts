import type { MessageCodec, MethodDefinition, ServiceDefinition } from "@ctrd/api/definition";
import type { CallContext } from "@ctrd/core/context";
import type { EncodedMessage } from "./encoded-message.ts";

export type { MessageCodec, MethodDefinition, ServiceDefinition };

/** The message type of a codec. */
export type MessageOf<C> = C extends { decode(input: Uint8Array): infer T } ? T : never;

/** What a method receives: one message or a stream of them. */
export type RequestOf<M extends MethodDefinition> = M["requestStream"] extends true
  ? AsyncIterable<MessageOf<M["requestType"]>>
  : MessageOf<M["requestType"]>;

/** What a method answers: one message or a stream of them, encoded already where that is cheaper. */
export type ResponseOf<M extends MethodDefinition> = M["responseStream"] extends true
  ? AsyncIterable<MessageOf<M["responseType"]> | EncodedMessage>
  : Promise<MessageOf<M["responseType"]> | EncodedMessage>;

/**
 * Implements one method. A streaming answer is pulled as fast as the peer takes it. The handler is called before the
 * peer sees the answer's headers, so what it does before returning has happened when the peer sees them.
 */
export type MethodHandler<M extends MethodDefinition> = (ctx: CallContext, request: RequestOf<M>) => ResponseOf<M>;

/** Implements every method of a service. */
export type ServiceHandlers<D extends ServiceDefinition> = {
  readonly [K in keyof D["methods"]]: MethodHandler<D["methods"][K]>;
};

/** A handler whose message types are not known. */
export type AnyHandler = (ctx: CallContext, request: never) => Promise<unknown> | AsyncIterable<unknown>;

/** A service with its implementation, ready to be served. */
export interface BoundService {
  readonly definition: ServiceDefinition;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  /** Methods that are done with a message of a stream when they ask for the next: its memory is used again. */
  readonly borrowing: ReadonlySet<string>;
}

/**
 * Joins a definition with its implementation; the compiler checks that every method is there.
 *
 * @param borrowing methods that keep nothing of a message of the peer's stream once they ask for the next
 */
export function bindService<D extends ServiceDefinition>(
  definition: D,
  handlers: ServiceHandlers<D>,
  borrowing: readonly (keyof D["methods"] & string)[] = [],
): BoundService {
  return {
    definition,
    handlers: handlers as Readonly<Record<string, AnyHandler>>,
    borrowing: new Set(borrowing),
  };
}

/** Path of a method on the wire: `/<service>/<method>`. */
export function methodPath(service: ServiceDefinition, method: MethodDefinition): string {
  return `/${service.fullName}/${method.name}`;
}
