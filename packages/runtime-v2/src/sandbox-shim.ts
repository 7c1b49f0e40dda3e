/**
 * The connected shim of a sandbox.
 *
 * @module
 */
import type { Timestamp } from "@ctrd/core/records";
import type { Endpoint } from "./address.ts";
import type { Bundle } from "./bundle.ts";
import { SandboxClient } from "./sandbox-client.ts";
import type { ShimLog } from "./shim-log.ts";
import type { ShimParts } from "./shim.ts";

/** How a sandbox ended. */
export interface SandboxExit {
  readonly exitStatus: number;
  readonly exitedAt: Timestamp | undefined;
}

/** A shim that runs a sandbox. */
export class SandboxShim {
  readonly bundle: Bundle;
  readonly endpoint: Endpoint;
  readonly client: SandboxClient;
  /** Path of its binary. */
  readonly binary: string;
  /** Session in which this daemon started it. */
  readonly session: number | undefined;
  /** Set when the shim was lost or told to end: how the sandbox ended, once everything is cleaned up. */
  lost: Promise<SandboxExit> | undefined;
  readonly #log: ShimLog | undefined;
  readonly #closed: Promise<void>;
  #releasing = false;

  /** @param onLost called when the connection is lost although nobody asked for it */
  constructor(parts: ShimParts, onLost: () => void) {
    const { bundle, endpoint, client, binary = "", session, log } = parts;
    this.bundle = bundle;
    this.endpoint = endpoint;
    this.client = new SandboxClient(client.connection, binary, bundle.namespace);
    this.binary = binary;
    this.session = session;
    this.#log = log;
    this.#closed = new Promise((resolve) => {
      client.connection.onClose(() => {
        resolve();
        this.#log?.close();
        if (!this.#releasing) onLost();
      });
    });
  }

  /** Where the tasks of its containers are served, as clients are told. */
  get taskApi(): { address: string; version: number } {
    const { protocol, address, version } = this.endpoint;
    return { address: `${protocol}+${address}`, version };
  }

  /** Closes the connection; the shim lives on. */
  disconnect(): void {
    this.#releasing = true;
    this.client.connection.close();
  }

  /** Waits until a shim that was asked to end is gone, but not longer than `timeoutMs`, and closes the connection. */
  async end(timeoutMs: number): Promise<void> {
    this.#releasing = true;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, timeoutMs);
    await Promise.race([this.#closed, late.promise]);
    clearTimeout(timer);
    this.client.connection.close();
    await this.#closed;
  }
}
