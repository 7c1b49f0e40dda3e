/**
 * A flush that many callers share.
 *
 * @module
 */

/** Runs a flush. Callers that come while one runs share the next one. */
export class SharedFlush {
  readonly #flush: () => Promise<void>;
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param flush makes durable what was done before it began */
  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  /** Resolves when everything done before this call is on disk. @throws what the flush throws */
  run(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      const running = this.#flush();
      // Those who share this flush get its error; the one after it must run all the same.
      this.#last = running.catch(() => {});
      return running;
    });
    return this.#next;
  }
}
