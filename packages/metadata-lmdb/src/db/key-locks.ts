/**
 * Locks by key, in memory: calls on one object wait for each other, calls on different objects do not.
 */
export class KeyLocks {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Waits for the locks of all `keys`, in one order for everybody.
   *
   * @returns the function that releases them
   * @throws the signal's reason when it aborts first
   */
  async acquire(keys: readonly string[], signal: AbortSignal): Promise<() => void> {
    const releases: (() => void)[] = [];
    try {
      for (const key of [...new Set(keys)].sort()) releases.push(await this.#acquireOne(key, signal));
    } catch (error) {
      for (const release of releases) release();
      throw error;
    }
    return () => {
      for (const release of releases.splice(0)) release();
    };
  }

  async #acquireOne(key: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const before = this.#tails.get(key);
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const tail = before === undefined ? held : before.then(() => held);
    this.#tails.set(key, tail);
    const release = (): void => {
      resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    if (before === undefined) return release;
    try {
      await abortable(before, signal);
    } catch (error) {
      // Those behind still wait for those before: `tail` ends with both.
      resolve();
      void tail.then(release);
      throw error;
    }
    return release;
  }
}

/** `promise`, or the signal's reason when that comes first. */
function abortable(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}
