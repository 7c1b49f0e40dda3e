/** One watcher of pulls. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pull } from "@ctrd/core/pulls";
import type { FollowedPull } from "./followed-pull.ts";

/** Milliseconds between two messages. */
const tickMs = 100;

/** What a watcher has seen, and what it has not. */
export class PullWatch {
  readonly #signal: AbortSignal;
  readonly #pulls: () => FollowedPull[];
  readonly #seen: Map<FollowedPull, number>;
  #news = Promise.withResolvers<void>();

  /** @param pulls those that run, and those that have ended and are still known; the latter are no news now */
  constructor(signal: AbortSignal, pulls: () => FollowedPull[]) {
    [this.#signal, this.#pulls] = [signal, pulls];
    this.#seen = new Map(
      pulls()
        .filter((pull) => !pull.isRunning)
        .map((pull) => [pull, pull.change]),
    );
  }

  /** Something has changed. */
  wake(): void {
    this.#news.resolve();
  }

  /** What has changed, whenever something has, until the signal aborts. */
  async *changes(): AsyncGenerator<Pull[]> {
    const aborted = this.#signal.aborted ? Promise.resolve() : once(this.#signal, "abort");
    while (!this.#signal.aborted) {
      this.#news = Promise.withResolvers();
      const pulls = this.#unseen();
      if (pulls.length > 0) yield pulls;
      else await Promise.race([this.#news.promise, aborted]);
      await sleep(tickMs);
    }
  }

  #unseen(): Pull[] {
    const pulls = this.#pulls();
    const fresh = pulls.filter((pull) => this.#seen.get(pull) !== pull.change);
    const messages = fresh.map((pull) => pull.since(this.#seen.get(pull) ?? 0));
    for (const pull of fresh) this.#seen.set(pull, pull.change);
    // Those that are not known any more are not held.
    for (const pull of this.#seen.keys()) if (!pulls.includes(pull)) this.#seen.delete(pull);
    return messages;
  }
}
