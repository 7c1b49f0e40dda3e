import type { CallContext } from "@ctrd/core/context";
import type { Operation } from "@ctrd/core/operations";
import { inStage } from "@ctrd/core/operations";

/**
 * Locks by key, in memory: calls on one object wait for each other, calls on different objects do not.
 */
export class KeyLocks {
  readonly #tails = new Map<string, Promise<void>>();
  /** Who has a lock. */
  readonly #holders = new Map<string, Operation>();

  /**
   * Waits for the locks of all `keys`, in one order for everybody.
   *
   * @returns the function that releases them
   * @throws the reason of the context's signal when it aborts first
   */
  async acquire(keys: readonly string[], ctx: CallContext): Promise<() => void> {
    const releases: (() => void)[] = [];
    try {
      for (const key of [...new Set(keys)].sort()) releases.push(await this.#acquireOne(key, ctx));
    } catch (error) {
      for (const release of releases) release();
      throw error;
    }
    return () => {
      for (const release of releases.splice(0)) release();
    };
  }

  async #acquireOne(key: string, ctx: CallContext): Promise<() => void> {
    const { signal, operation } = ctx;
    signal.throwIfAborted();
    const before = this.#tails.get(key);
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const tail = before === undefined ? held : before.then(() => held);
    this.#tails.set(key, tail);
    const release = (): void => {
      if (operation !== undefined && this.#holders.get(key) === operation) this.#holders.delete(key);
      resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    const hold = (): (() => void) => {
      if (operation !== undefined) this.#holders.set(key, operation);
      return release;
    };
    if (before === undefined) return hold();
    try {
      const waitsFor = this.#holders.get(key);
      await inStage(ctx, "wait for whoever works on it", () => abortable(before, signal), { waitsFor });
    } catch (error) {
      // Those behind still wait for those before: `tail` ends with both.
      resolve();
      void tail.then(release);
      throw error;
    }
    return hold();
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
