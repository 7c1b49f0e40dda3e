/**
 * A shim that is connected.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import { messageOf } from "@ctrd/core/errors";
import type { Endpoint } from "./address.ts";
import type { Bundle } from "./bundle.ts";
import type { ShimLog } from "./shim-log.ts";
import type { TaskClient } from "./task-client.ts";
import { isClosed } from "./task-client.ts";

/** What a shim is made of. */
export interface ShimParts {
  bundle: Bundle;
  endpoint: Endpoint;
  client: TaskClient;
  /** Path of its binary, for `delete`; undefined when it is no longer known. */
  binary: string | undefined;
  /** Reader of its log FIFO. */
  log: ShimLog | undefined;
  /** Whether it belongs to a sandbox, whose controller shuts it down. */
  sandboxed: boolean;
  /** Session in which it was started by this daemon. */
  session?: number | undefined;
}

/** A connected shim of one task. Tasks of one group have connections of their own to one process. */
export class Shim {
  readonly bundle: Bundle;
  readonly endpoint: Endpoint;
  readonly client: TaskClient;
  readonly binary: string | undefined;
  readonly sandboxed: boolean;
  readonly #log: ShimLog | undefined;
  readonly #closed: Promise<void>;
  #releasing = false;

  /** @param onLost called when the connection is lost although nobody asked for it */
  constructor(parts: ShimParts, onLost: () => void) {
    this.bundle = parts.bundle;
    this.endpoint = parts.endpoint;
    this.client = parts.client;
    this.binary = parts.binary;
    this.sandboxed = parts.sandboxed;
    this.#log = parts.log;
    this.#closed = new Promise((resolve) => {
      parts.client.connection.onClose(() => {
        resolve();
        this.#log?.close();
        if (!this.#releasing) onLost();
      });
    });
  }

  /** Closes the connection; the shim lives on. */
  disconnect(): void {
    this.#releasing = true;
    this.client.connection.close();
  }

  /**
   * Asks the shim to end and closes the connection. A shim that other tasks use goes on for them.
   *
   * @param exclusive whether no other task uses the process; then its end is awaited, so that a shim started next
   * under the same address does not meet the ending one
   * @param timeoutMs for the answer, and again for the end
   */
  async shutdown(exclusive: boolean, timeoutMs: number, log: Logger): Promise<void> {
    this.#releasing = true;
    if (!this.sandboxed) {
      const { id } = this.bundle;
      try {
        await this.client.call("shutdown", { id, now: false }, { timeoutMs });
        if (exclusive) await this.#closedWithin(timeoutMs);
      } catch (error) {
        // A shim may end before it answers.
        if (!isClosed(error)) {
          log.error({ task: id, err: messageOf(error) }, "shut down shim, it may be left running");
        }
      }
    }
    this.client.connection.close();
    await this.#closed;
  }

  async #closedWithin(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, timeoutMs);
    await Promise.race([this.#closed, late.promise]);
    clearTimeout(timer);
  }
}
