import type { OperationObject, OperationStart } from "@ctrd/core/operations";
import type { MethodDefinition, ServiceDefinition } from "./definition.ts";
import { objectOfRequest } from "./request-object.ts";
import type { ServerStream } from "./server-stream.ts";

/** Methods that do nothing but wait for something to happen. */
const waiting: ReadonlySet<string> = new Set(["Wait", "WaitSandbox", "Subscribe", "Watch", "GetContainerEvents"]);

/** Names who is at the other end of a connected unix socket; undefined when that cannot be told. */
export type NameCaller = (socket: number) => string | undefined;

/** What the operation of a call is made of. Nothing of it is worked out before somebody asks. */
export class CallStart implements OperationStart {
  readonly #service: ServiceDefinition;
  readonly #method: MethodDefinition;
  readonly #call: ServerStream;
  readonly #nameCaller: NameCaller | undefined;
  namespace = "";
  /** Set once it was received; streams have none. */
  request: unknown;

  constructor(
    { service, definition }: { readonly service: ServiceDefinition; readonly definition: MethodDefinition },
    call: ServerStream,
    nameCaller: NameCaller | undefined,
  ) {
    [this.#service, this.#method, this.#call, this.#nameCaller] = [service, definition, call, nameCaller];
  }

  get name(): string {
    const { fullName } = this.#service;
    return `${fullName.slice(fullName.lastIndexOf(".") + 1)}/${this.#method.name}`;
  }

  get passive(): boolean {
    return waiting.has(this.#method.name);
  }

  get object(): OperationObject | undefined {
    return objectOfRequest(this.#service.fullName, this.#method.name, this.request);
  }

  get caller(): string {
    const { socket } = this.#call;
    return socket === undefined ? "a client that has gone" : (this.#nameCaller?.(socket) ?? "a client");
  }
}
