/** Delays between restarts of a container that keeps ending: 50 ms, 100 ms, 200 ms … a minute. */
export const firstDelayMs = 50;
export const longestDelayMs = 60_000;
/** A container that ran for so long has not failed to start: the delays begin anew. */
export const healthyMs = 10_000;

/** How often a container was started in a row, and when next. Times are of a monotonic clock, in milliseconds. */
export class Backoff {
  #failures = 0;
  #startedAt = -Infinity;
  #notBefore = -Infinity;

  /** It was started, or that was tried. */
  started(now: number): void {
    this.#startedAt = now;
  }

  /** It has ended, or could not be started. @returns the delay until it may be started */
  ended(now: number): number {
    if (now - this.#startedAt >= healthyMs) this.#failures = 0;
    const delay = Math.min(firstDelayMs * 2 ** this.#failures, longestDelayMs);
    this.#failures++;
    this.#notBefore = now + delay;
    return delay;
  }

  /** Whether it has to wait still. */
  isWaiting(now: number): boolean {
    return now < this.#notBefore;
  }
}
