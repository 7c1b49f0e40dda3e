/**
 * The sandbox API of a shim, over the connection that its tasks are served on.
 *
 * @module
 */
import { SandboxDefinition } from "@ctrd/api/runtime/sandbox/v1/sandbox";
import { isKind, notImplemented } from "@ctrd/core/errors";
import { ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { CallOptions, MethodName, RequestOf, ResponseOf, TtrpcClient } from "@ctrd/ttrpc";

type Method = MethodName<typeof SandboxDefinition>;

/** Calls of a shim's sandbox service. */
export class SandboxClient {
  readonly connection: TtrpcClient;
  readonly #shim: string;
  readonly #metadata: ReadonlyMap<string, string[]>;

  /** @param shim path of the shim's binary, for messages */
  constructor(connection: TtrpcClient, shim: string, namespace: string) {
    this.connection = connection;
    this.#shim = shim;
    this.#metadata = new Map([[ttrpcNamespaceHeader, [namespace]]]);
  }

  /**
   * Calls a method.
   *
   * @throws ContainerdError of the shim; `unavailable` (`ttrpc: closed`) when it is gone; `not-implemented` for a shim
   * without the sandbox API
   */
  async call<K extends Method>(
    method: K,
    request: RequestOf<typeof SandboxDefinition, K>,
    limits: { readonly signal?: AbortSignal; readonly timeoutMs?: number | undefined } = {},
  ): Promise<ResponseOf<typeof SandboxDefinition, K>> {
    const options: CallOptions = { metadata: this.#metadata };
    if (limits.signal !== undefined) options.signal = limits.signal;
    if (limits.timeoutMs !== undefined) options.timeoutMs = limits.timeoutMs;
    try {
      return await this.connection.call<typeof SandboxDefinition, K>(SandboxDefinition, method, request, options);
    } catch (error) {
      if (!isKind(error, "not-implemented") || method !== "createSandbox") throw error;
      throw notImplemented(
        `shim ${this.#shim} does not serve the sandbox API; name one that does as the runtime, or the sandboxer "podsandbox"`,
        { cause: error },
      );
    }
  }
}
