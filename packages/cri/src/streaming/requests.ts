/**
 * The calls that were prepared over gRPC and wait for their client to come, each under a token of its own.
 *
 * @module
 */
import type { AttachRequest, ExecRequest, PortForwardRequest } from "@ctrd/api/cri/runtime/v1/api";
import { resourceExhausted } from "@ctrd/core/errors";
import { randomBytes } from "node:crypto";

/** A prepared call. */
export type StreamingRequest =
  | { readonly kind: "exec"; readonly request: ExecRequest }
  | { readonly kind: "attach"; readonly request: AttachRequest }
  | { readonly kind: "portforward"; readonly request: PortForwardRequest };

const maxPending = 1_000;
const lifeMs = 60_000;
/** Six bytes are eight characters of base64. */
const tokenBytes = 6;

/** Prepared calls by token. A token is good for one use, within a minute. */
export class PendingRequests {
  /** In the order that they were made in, which is the order that they expire in. */
  readonly #pending = new Map<string, { readonly call: StreamingRequest; readonly expires: number }>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that does not jump */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Keeps a call and returns its token.
   *
   * @throws ContainerdError `resource-exhausted` when too many wait
   */
  add(call: StreamingRequest): string {
    const now = this.#now();
    for (const [token, { expires }] of this.#pending) {
      if (expires > now) break;
      this.#pending.delete(token);
    }
    if (this.#pending.size >= maxPending) {
      throw resourceExhausted(
        `prepare ${call.kind}: ${maxPending} calls wait for their clients; they expire within ${lifeMs / 1_000} s`,
      );
    }
    let token = randomBytes(tokenBytes).toString("base64url");
    while (this.#pending.has(token)) token = randomBytes(tokenBytes).toString("base64url");
    this.#pending.set(token, { call, expires: now + lifeMs });
    return token;
  }

  /** The call of a token, which is used up by that. */
  take(token: string): StreamingRequest | undefined {
    const found = this.#pending.get(token);
    this.#pending.delete(token);
    return found !== undefined && found.expires > this.#now() ? found.call : undefined;
  }
}
