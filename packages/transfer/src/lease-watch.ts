/**
 * Streams that were opened under a lease end with it, as all that a lease keeps.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { LeaseManager } from "@ctrd/core/leases";
import type { Logger } from "@ctrd/core/log";
import type { NamedStream } from "@ctrd/core/streaming";

/** Where leases are, and what tells that something was written. */
export interface LeaseSource {
  readonly leases: Pick<LeaseManager, "listResources">;
  /** Calls `listener` after writes; returns the unsubscriber. */
  onMutation(listener: (dirty: boolean) => void): () => void;
}

/** Several writes are looked at together. */
const pauseMs = 50;
/** A lease that has expired is removed without a word. */
const lookMs = 10_000;

interface Leased {
  readonly namespace: string;
  readonly lease: string;
}

/** Watches the leases of streams as long as there are any. */
export class LeaseWatch {
  readonly #source: LeaseSource;
  readonly #log: Logger;
  readonly #streams: Map<NamedStream, Leased> = new Map();
  #stop: (() => void) | undefined;
  #soon: NodeJS.Timeout | undefined;

  constructor(source: LeaseSource, log: Logger) {
    this.#source = source;
    this.#log = log;
  }

  /** Begins to watch the lease of the call, if there is one. */
  add({ namespace, lease }: CallContext, stream: NamedStream): void {
    if (lease === undefined) return;
    this.#streams.set(stream, { namespace, lease });
    this.#stop ??= this.#start();
  }

  remove(stream: NamedStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.close();
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
    clearTimeout(this.#soon);
    this.#soon = undefined;
  }

  #start(): () => void {
    const look = (): void => void this.#look();
    const unsubscribe = this.#source.onMutation((dirty) => {
      if (!dirty) return;
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        look();
      }, pauseMs);
    });
    const timer = setInterval(look, lookMs).unref();
    return () => {
      unsubscribe();
      clearInterval(timer);
    };
  }

  /** Closes the streams whose lease is gone. */
  async #look(): Promise<void> {
    for (const [stream, { namespace, lease }] of this.#streams) {
      try {
        await this.#source.leases.listResources(createContext({ namespace, log: this.#log }), lease);
      } catch (error) {
        if (isKind(error, "not-found")) stream.close();
        else this.#log.warn({ lease, err: messageOf(error) }, "cannot look after the lease of a stream");
      }
    }
  }
}
