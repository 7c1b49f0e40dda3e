/**
 * Handlers of services.
 *
 * @module
 */
import type { TtrpcCall } from "./call-context.ts";
import type { MethodDefinition, MethodName, RequestOf, ResponseOf, ServiceDefinition } from "./definition.ts";

/** The handler of one method, by its kind. */
export type HandlerOf<D extends ServiceDefinition, K extends MethodName<D>> = D["methods"][K] extends {
  requestStream: true;
}
  ? D["methods"][K] extends { responseStream: true }
    ? (call: TtrpcCall, requests: AsyncIterable<RequestOf<D, K>>) => AsyncIterable<ResponseOf<D, K>>
    : (call: TtrpcCall, requests: AsyncIterable<RequestOf<D, K>>) => Promise<ResponseOf<D, K>>
  : D["methods"][K] extends { responseStream: true }
    ? (call: TtrpcCall, request: RequestOf<D, K>) => AsyncIterable<ResponseOf<D, K>>
    : (call: TtrpcCall, request: RequestOf<D, K>) => Promise<ResponseOf<D, K>>;

/** Handlers of a service; a method without one answers Unimplemented. */
export type Handlers<D extends ServiceDefinition> = { [K in MethodName<D>]?: HandlerOf<D, K> };

/** A handler whose types are no longer known. */
type AnyHandler = (call: TtrpcCall, request: unknown) => unknown;

/** A method that can be called. */
export interface RegisteredMethod {
  readonly definition: MethodDefinition;
  readonly handler: AnyHandler;
}

/** Methods by service name and wire name. */
export class ServiceRegistry {
  readonly #services: Map<string, Map<string, RegisteredMethod>> = new Map();

  /** @throws Error when the service is registered already */
  register<D extends ServiceDefinition>(definition: D, handlers: Handlers<D>): void {
    if (this.#services.has(definition.fullName)) {
      throw new Error(`ttrpc service ${definition.fullName} is registered twice`);
    }
    const methods = new Map<string, RegisteredMethod>();
    for (const [key, method] of Object.entries(definition.methods)) {
      const handler = (handlers as Readonly<Record<string, AnyHandler | undefined>>)[key];
      if (handler === undefined) continue;
      methods.set(method.name, {
        definition: method,
        handler: (call, request) => handler.call(handlers, call, request),
      });
    }
    this.#services.set(definition.fullName, methods);
  }

  hasService(service: string): boolean {
    return this.#services.has(service);
  }

  find(service: string, method: string): RegisteredMethod | undefined {
    return this.#services.get(service)?.get(method);
  }
}
