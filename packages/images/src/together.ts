/**
 * Work that fails as one.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { canceled } from "@ctrd/core/errors";

/** Several pieces of work under one call: when one fails the others are aborted, and its error is that of all. */
export class Together {
  /** The call to work under. */
  readonly ctx: CallContext;
  readonly #abort = new AbortController();
  readonly #failures: unknown[] = [];

  constructor(ctx: CallContext) {
    this.ctx = withSignal(ctx, this.#abort.signal);
  }

  /** Runs a piece of it. Never rejects: {@link check} tells. */
  async run(body: (ctx: CallContext) => Promise<void>): Promise<void> {
    try {
      this.ctx.signal.throwIfAborted();
      await body(this.ctx);
    } catch (error) {
      this.#failures.push(error);
      this.#abort.abort(canceled("another part failed", { cause: error }));
    }
  }

  /** Runs pieces at once and waits for all of them: nothing goes on behind the caller's back. */
  async all(bodies: readonly ((ctx: CallContext) => Promise<void>)[]): Promise<void> {
    await Promise.all(bodies.map((body) => this.run(body)));
    this.check();
  }

  /** @throws what failed first */
  check(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
