/**
 * Many at the same time, or one alone.
 *
 * @module
 */

/** Lets steps run side by side, and whoever must be alone wait for those that run and hold up those that come. */
export class Gate {
  #shared = new Set<Promise<unknown>>();
  #alone: Promise<unknown> = Promise.resolve();

  /** Runs side by side with others of its kind. */
  async share<T>(work: () => Promise<T>): Promise<T> {
    for (let seen: Promise<unknown> | undefined; seen !== this.#alone;) {
      seen = this.#alone;
      await seen;
    }
    const running = work();
    const settled = running.then(
      () => {},
      () => {},
    );
    this.#shared.add(settled);
    void settled.then(() => this.#shared.delete(settled));
    return running;
  }

  /** Runs alone. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#alone;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#alone = promise;
    await before;
    await Promise.all(this.#shared);
    try {
      return await work();
    } finally {
      resolve();
    }
  }
}
