/**
 * The shape of the generated service definitions, for layers that serve or call any of them.
 *
 * @module
 */

/** Encodes and decodes one message type. Methods, so that the codecs of every message are assignable. */
export interface MessageCodec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: Uint8Array): T;
}

/** One method of a service. */
export interface MethodDefinition {
  /** Bare name on the wire, for example `ListStream`. */
  readonly name: string;
  readonly requestType: MessageCodec<unknown>;
  readonly requestStream: boolean;
  readonly responseType: MessageCodec<unknown>;
  readonly responseStream: boolean;
}

/** A service: its full proto name, and its methods by their TypeScript names. */
export interface ServiceDefinition {
  /** Name on the wire, for example `containerd.services.containers.v1.Containers`. */
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}
