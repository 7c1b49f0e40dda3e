/** Locks by key: who changes one pod or container does not wait for who changes another. */
import { untilAborted } from "@ctrd/core/context";

/** Mutual exclusion by key, in order of arrival. */
export class KeyedLocks {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `body` once nobody else runs one for `key`. Who gives up waiting does not run it. */
  async run<T>(key: string, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const turn = before.then(() => done);
    this.#last.set(key, turn);
    void turn.then(() => {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    });
    try {
      await untilAborted(before, signal);
      return await body();
    } finally {
      resolve();
    }
  }
}
