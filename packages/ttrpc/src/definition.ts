/**
 * Service definitions as ts-proto generates them (`@ctrd/api`), and the types derived from them.
 *
 * @module
 */

import type { MessageCodec, MethodDefinition, ServiceDefinition } from "@ctrd/api/definition";

export type { MessageCodec, MethodDefinition, ServiceDefinition };

/** Names of the methods of `D`. */
export type MethodName<D extends ServiceDefinition> = keyof D["methods"] & string;

/** Names of the methods of `D` with these kinds of request and response. */
export type MethodsOfKind<D extends ServiceDefinition, Q extends boolean, S extends boolean> = {
  [K in MethodName<D>]: D["methods"][K] extends { requestStream: Q; responseStream: S } ? K : never;
}[MethodName<D>];

/** Request message of a method. */
export type RequestOf<D extends ServiceDefinition, K extends MethodName<D>> =
  D["methods"][K]["requestType"] extends MessageCodec<infer T> ? T : never;

/** Response message of a method. */
export type ResponseOf<D extends ServiceDefinition, K extends MethodName<D>> =
  D["methods"][K]["responseType"] extends MessageCodec<infer T> ? T : never;
