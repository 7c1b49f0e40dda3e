/**
 * Service definitions as ts-proto generates them (`@ctrd/api`), and the types derived from them.
 *
 * @module
 */

/** Encoder and decoder of a message. Methods, so that definitions of every message are assignable. */
export interface MessageCodec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** One method of a service. */
export interface MethodDefinition {
  /** Bare name on the wire, for example `Create`. */
  readonly name: string;
  readonly requestType: MessageCodec<unknown>;
  readonly requestStream: boolean;
  readonly responseType: MessageCodec<unknown>;
  readonly responseStream: boolean;
}

/** A service: its full proto name and its methods by their TypeScript names. */
export interface ServiceDefinition {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

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
