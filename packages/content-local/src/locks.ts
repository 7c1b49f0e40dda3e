/**
 * One writer per ref, within this process.
 *
 * @module
 */
import { canceled, unavailable } from "@ctrd/core/errors";
import { formatGoDuration } from "@ctrd/core/durations";

/** How long an opener waits for a writer that is being closed: its stream may end just after the next one begins. */
const waitMs = 500;

interface Held {
  since: number;
  /** Called at release. */
  waiters: Set<() => void>;
}

/** Locks by ref. */
export class RefLocks {
  readonly #held = new Map<string, Held>();

  /**
   * Locks `ref`, waiting shortly when it is locked.
   *
   * @returns the function that unlocks it; calling it again does nothing
   * @throws ContainerdError `unavailable` when it stays locked, `canceled` when `signal` aborts
   */
  async acquire(ref: string, signal: AbortSignal): Promise<() => void> {
    const deadline = Date.now() + waitMs;
    for (let held = this.#held.get(ref); held !== undefined; held = this.#held.get(ref)) {
      if (signal.aborted) throw canceled(`lock ref ${ref}`, { cause: signal.reason });
      const left = deadline - Date.now();
      if (left <= 0) {
        const duration = formatGoDuration(Date.now() - held.since);
        throw unavailable(`ref ${ref} locked for ${duration} (since ${new Date(held.since).toISOString()})`);
      }
      await waitFor(held.waiters, left, signal);
    }
    const held: Held = { since: Date.now(), waiters: new Set() };
    this.#held.set(ref, held);
    return () => {
      if (this.#held.get(ref) !== held) return;
      this.#held.delete(ref);
      for (const wake of held.waiters) wake();
    };
  }
}

/** Resolves when woken, after `ms`, or when `signal` aborts. */
function waitFor(waiters: Set<() => void>, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      waiters.delete(done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    waiters.add(done);
  });
}
