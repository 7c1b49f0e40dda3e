/**
 * Follows the pulls of a daemon.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import type { EventPublisher } from "@ctrd/core/events";
import type { Pull, PullStart, PullTracker } from "@ctrd/core/pulls";
import { pullStates } from "@ctrd/core/pulls";
import type { ProgressListener } from "@ctrd/core/remotes";
import { publishEnd, publishStart } from "./events.ts";
import { FollowedPull } from "./followed-pull.ts";
import type { PullMetrics } from "./metrics.ts";
import { PullWatch } from "./watch.ts";

/** What {@link createPullTracker} works with. */
export interface PullTrackerParts {
  /** Told of pulls that begin and end. */
  readonly events: EventPublisher;
  readonly metrics: PullMetrics;
}

/** Pulls that have ended are kept for as long as there are no more of them than this. */
const keptEnded = 64;

/** Makes a tracker, which knows of no pull yet. */
export function createPullTracker(parts: PullTrackerParts): PullTracker {
  return new Tracker(parts);
}

class Tracker implements PullTracker {
  readonly #parts: PullTrackerParts;
  /** Each with the oldest first. */
  readonly #running = new Set<FollowedPull>();
  readonly #ended: FollowedPull[] = [];
  readonly #watches = new Set<PullWatch>();

  constructor(parts: PullTrackerParts) {
    this.#parts = parts;
  }

  async follow<T>(ctx: CallContext, start: PullStart, body: (progress: ProgressListener) => Promise<T>): Promise<T> {
    const { events, metrics } = this.#parts;
    const pull = new FollowedPull(start, ctx.namespace);
    const ended = metrics.begin(start.client);
    this.#running.add(pull);
    publishStart(ctx, events, pull.since(0));
    this.#wake();
    try {
      const result = await body((progress) => {
        metrics.fetched(start.client, pull.note(progress));
        this.#wake();
      });
      pull.end();
      return result;
    } catch (error) {
      pull.end({ error });
      throw error;
    } finally {
      this.#running.delete(pull);
      this.#ended.push(pull);
      if (this.#ended.length > keptEnded) this.#ended.shift();
      const whole = pull.since(0);
      ended(whole.state === pullStates.complete);
      publishEnd(ctx, events, whole);
      this.#wake();
    }
  }

  async list(_ctx: CallContext, reference: string, ended = false): Promise<Pull[]> {
    return this.#of(reference)
      .filter((pull) => ended || pull.isRunning)
      .map((pull) => pull.since(0));
  }

  watch(ctx: CallContext, reference: string): AsyncIterable<Pull[]> {
    const watch = new PullWatch(ctx.signal, () => this.#of(reference));
    const watches = this.#watches;
    watches.add(watch);
    ctx.signal.addEventListener("abort", () => watches.delete(watch), { once: true });
    return (async function* () {
      try {
        yield* watch.changes();
      } finally {
        watches.delete(watch);
      }
    })();
  }

  #of(reference: string): FollowedPull[] {
    return [...this.#ended, ...this.#running].filter((pull) => reference === "" || pull.reference === reference);
  }

  #wake(): void {
    for (const watch of this.#watches) watch.wake();
  }
}
