/**
 * The task API of a shim, version 2 or 3, over one connection.
 *
 * @module
 */
import { TaskDefinition as TaskV2 } from "@ctrd/api/runtime/task/v2/shim";
import { TaskDefinition as TaskV3 } from "@ctrd/api/runtime/task/v3/shim";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { Operation } from "@ctrd/core/operations";
import type { Span } from "@ctrd/core/tracing";
import { formatTraceparent, traceparentHeader, tracestateHeader } from "@ctrd/core/tracing";
import type { CallOptions, MethodName, RequestOf, ResponseOf, TtrpcClient } from "@ctrd/ttrpc";

type TaskDefinition = typeof TaskV3;
type Method = MethodName<TaskDefinition>;

/** Limits of one call. */
export interface CallLimits {
  signal?: AbortSignal;
  timeoutMs?: number;
  /** What the call is a part of, which the shim is told. */
  span?: Span | undefined;
  /** What the call is a stage of. */
  operation?: Operation | undefined;
}

/**
 * Calls of a shim's task service. The messages of version 2 and 3 are the same; only the service's name differs. A shim
 * that announces version 3 but answers Unimplemented to Create or Connect is spoken to as version 2 from then on.
 */
export class TaskClient {
  readonly connection: TtrpcClient;
  readonly #metadata: ReadonlyMap<string, string[]>;
  #version: number;

  constructor(connection: TtrpcClient, version: number, namespace: string) {
    this.connection = connection;
    this.#version = version;
    this.#metadata = new Map([[ttrpcNamespaceHeader, [namespace]]]);
  }

  /** The version that is spoken: 2 or 3. */
  get version(): number {
    return this.#version;
  }

  /** Calls a method. @throws ContainerdError of the shim; `unavailable` (`ttrpc: closed`) when it is gone */
  async call<K extends Method>(
    method: K,
    request: RequestOf<TaskDefinition, K>,
    limits: CallLimits | CallContext = {},
  ): Promise<ResponseOf<TaskDefinition, K>> {
    const leave = limits.operation?.enter(`${method} in the shim`);
    try {
      return await this.#traced(method, request, limits);
    } finally {
      leave?.();
    }
  }

  async #traced<K extends Method>(
    method: K,
    request: RequestOf<TaskDefinition, K>,
    limits: CallLimits | CallContext,
  ): Promise<ResponseOf<TaskDefinition, K>> {
    if (limits.span === undefined) return this.#call(method, request, limits, this.#metadata);
    const span = limits.span.child(`${serviceName}/${method}`, "client", {
      "rpc.system": "ttrpc",
      "rpc.method": method,
    });
    try {
      const answer = await this.#call(method, request, limits, withSpanOf(this.#metadata, span));
      span.end();
      return answer;
    } catch (error) {
      span.end(error);
      throw error;
    }
  }

  async #call<K extends Method>(
    method: K,
    request: RequestOf<TaskDefinition, K>,
    limits: CallLimits | CallContext,
    metadata: ReadonlyMap<string, readonly string[]>,
  ): Promise<ResponseOf<TaskDefinition, K>> {
    const options: CallOptions = { metadata };
    if (limits.signal !== undefined) options.signal = limits.signal;
    if ("timeoutMs" in limits && limits.timeoutMs !== undefined) options.timeoutMs = limits.timeoutMs;
    const probing = this.#version >= 3 && (method === "create" || method === "connect");
    if (!probing) return this.#send(method, request, options);
    try {
      return await this.#send(method, request, options);
    } catch (error) {
      if (!isKind(error, "not-implemented")) throw error;
      this.#version = 2;
      return this.#send(method, request, options);
    }
  }

  #send<K extends Method>(
    method: K,
    request: RequestOf<TaskDefinition, K>,
    options: CallOptions,
  ): Promise<ResponseOf<TaskDefinition, K>> {
    const definition = this.#version >= 3 ? TaskV3 : (TaskV2 as unknown as TaskDefinition);
    return this.connection.call<TaskDefinition, K>(definition, method, request, options);
  }
}

const serviceName = "containerd.task";

function withSpanOf(
  metadata: ReadonlyMap<string, readonly string[]>,
  { context }: Span,
): ReadonlyMap<string, readonly string[]> {
  const more: [string, readonly string[]][] = [[traceparentHeader, [formatTraceparent(context)]]];
  if (context.state !== "") more.push([tracestateHeader, [context.state]]);
  return new Map([...metadata, ...more]);
}

/** Whether `error` tells that the connection to the shim is gone. */
export function isClosed(error: unknown): boolean {
  return isKind(error, "unavailable") && error.message.startsWith("ttrpc: closed");
}
