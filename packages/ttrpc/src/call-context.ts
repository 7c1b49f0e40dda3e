/**
 * What a handler knows about its call.
 *
 * @module
 */
import { canceled, deadlineExceeded } from "@ctrd/core/errors";
import type { Metadata } from "./metadata.ts";

/** Credentials of the process at the other end of a unix socket. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** Context of one call at the server. */
export interface TtrpcCall {
  readonly metadata: Metadata;
  /** Aborts when the deadline passes, the stream fails or the connection is lost. */
  readonly signal: AbortSignal;
  /** Time that the client gives the call, in milliseconds; undefined without a deadline. */
  readonly timeout: number | undefined;
  /** Who calls, when the server was made with `peerCredentials`. */
  readonly peer: PeerCredentials | undefined;
}

/** A {@link TtrpcCall} that makes its abort controller only when a handler asks for the signal. */
export class ServerCallContext implements TtrpcCall {
  readonly metadata: Metadata;
  readonly timeout: number | undefined;
  readonly peer: PeerCredentials | undefined;
  #controller: AbortController | undefined;
  #aborted: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(metadata: Metadata, timeoutNano: bigint, peer: PeerCredentials | undefined) {
    this.metadata = metadata;
    this.peer = peer;
    this.timeout = timeoutNano > 0n ? Number(timeoutNano) / 1e6 : undefined;
    if (this.timeout === undefined) return;
    // setTimeout takes at most 2^31-1 ms; a longer deadline (24 days) is as good as none.
    if (this.timeout < 0x7fff_ffff) {
      this.#timer = setTimeout(() => this.abort(deadlineExceeded("ttrpc call")), this.timeout);
    }
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  /** Aborts the call; only the first reason counts. */
  abort(reason: Error = canceled("ttrpc call")): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#controller?.abort(reason);
  }

  /** Stops the deadline's timer: the call is over. */
  finish(): void {
    clearTimeout(this.#timer);
  }
}
