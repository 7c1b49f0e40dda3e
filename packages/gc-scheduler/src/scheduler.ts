import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { messageOf, unavailable } from "@ctrd/core/errors";
import type { GarbageCollector, GcScheduler, GcStats } from "@ctrd/core/gc";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Operations } from "@ctrd/core/operations";
import { asOperation, inStage } from "@ctrd/core/operations";
import { collectionInterval, isDue } from "./policy.ts";

/** When to collect. Times are in milliseconds. */
export interface GcSchedule {
  /** Largest share of time that writes may wait for collections; at most 0.5. 0: no limit, at most once a second. */
  pauseThreshold: number;
  /** Collect at once after this many deletions; 0: deletions wait for the next scheduled point. */
  deletionThreshold: number;
  /** Collect at the next scheduled point after this many writes; 0: writes alone do not matter. */
  mutationThreshold: number;
  /** Wait this long after something asked for a collection. */
  scheduleDelayMs: number;
  /** Wait this long before the first collection. */
  startupDelayMs: number;
}

/** containerd's defaults. */
export const defaultGcSchedule: GcSchedule = {
  pauseThreshold: 0.02,
  deletionThreshold: 0,
  mutationThreshold: 100,
  scheduleDelayMs: 0,
  startupDelayMs: 100,
};

/** A scheduler that is to be stopped. */
export interface RunningGcScheduler extends GcScheduler {
  /** Follows another schedule from now on. */
  reschedule(schedule: GcSchedule): void;
  /** Ends it: calls that wait fail as `unavailable`, a running collection is aborted and waited for. */
  stop(): Promise<void>;
}

/** Starts scheduling collections of `collector`. The first one runs after the startup delay. */
export function startGcScheduler(
  collector: GarbageCollector,
  schedule: GcSchedule = defaultGcSchedule,
  log: Logger = silentLogger,
  operations?: Operations,
): RunningGcScheduler {
  return new Scheduler(collector, schedule, log, operations);
}

/** Timers that are longer fire at once. */
const longestTimerMs = 2 ** 31 - 1;

type Waiter = PromiseWithResolvers<GcStats>;

class Scheduler implements RunningGcScheduler {
  readonly #collector: GarbageCollector;
  #schedule: GcSchedule;
  readonly #log: Logger;
  readonly #operations: Operations | undefined;
  readonly #stopping = new AbortController();
  readonly #unsubscribe: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, by `performance.now()`. */
  #timerAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #waiters: Waiter[] = [];
  #deletions = 0;
  #mutations = 0;
  #pauseSumMs = 0;
  #collections = 0;
  #collectedBefore = false;

  constructor(collector: GarbageCollector, schedule: GcSchedule, log: Logger, operations: Operations | undefined) {
    this.#collector = collector;
    this.#operations = operations;
    this.#schedule = schedule;
    this.#log = log;
    this.#unsubscribe = collector.onMutation((dirty) => this.#onMutation(dirty));
    this.#arm(schedule.startupDelayMs);
  }

  async scheduleAndWait(ctx: CallContext): Promise<GcStats> {
    ctx.signal.throwIfAborted();
    if (this.#stopping.signal.aborted) throw stopped();
    const waiter: Waiter = Promise.withResolvers<GcStats>();
    this.#waiters.push(waiter);
    const onAbort = (): void => waiter.reject(ctx.signal.reason);
    ctx.signal.addEventListener("abort", onAbort, { once: true });
    this.#arm(this.#schedule.scheduleDelayMs);
    try {
      return await inStage(ctx, "wait for the garbage collection", () => waiter.promise);
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
    }
  }

  reschedule(schedule: GcSchedule): void {
    this.#schedule = schedule;
    if (this.#isTriggered()) this.#arm(schedule.scheduleDelayMs);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#disarm();
    this.#stopping.abort();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(stopped());
    await this.#running;
  }

  #onMutation(dirty: boolean): void {
    this.#mutations++;
    if (dirty) this.#deletions++;
    // No timer runs while nothing happens: the first write after a collection sets the next scheduled point.
    if (this.#isTriggered()) this.#arm(this.#schedule.scheduleDelayMs);
    else this.#arm(this.#interval());
  }

  #isTriggered(): boolean {
    const { deletionThreshold } = this.#schedule;
    return this.#waiters.length > 0 || (deletionThreshold > 0 && this.#deletions >= deletionThreshold);
  }

  #interval(): number {
    return collectionInterval(this.#schedule.pauseThreshold, this.#pauseSumMs, this.#collections);
  }

  /** Sets the timer, unless it fires earlier anyway. While a collection runs, its end does this. */
  #arm(wantedMs: number): void {
    const delayMs = Math.min(wantedMs, longestTimerMs);
    const at = performance.now() + delayMs;
    if (this.#running !== undefined || this.#stopping.signal.aborted || at >= this.#timerAt) return;
    this.#disarm();
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#onTimer(), delayMs);
    // A daemon that has nothing else to do may exit; a call that waits has a connection that keeps it alive.
    this.#timer.unref();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #onTimer(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const due =
      !this.#collectedBefore ||
      this.#isTriggered() ||
      isDue(this.#schedule.mutationThreshold, this.#mutations, this.#deletions);
    if (due) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const waiters = this.#waiters.splice(0);
    this.#deletions = 0;
    this.#mutations = 0;
    this.#collectedBefore = true;
    try {
      const context = createContext({ signal: this.#stopping.signal, log: this.#log });
      const stats = await asOperation(this.#operations, context, { name: "garbage collection" }, (ctx) =>
        this.#collector.collectGarbage(ctx),
      );
      this.#pauseSumMs += stats.pauseMs;
      this.#collections++;
      this.#log.debug(
        { pauseMs: stats.pauseMs, totalMs: stats.totalMs, removed: Object.fromEntries(stats.removed) },
        "garbage collected",
      );
      for (const waiter of waiters) waiter.resolve(stats);
    } catch (error) {
      this.#onFailure(error, waiters);
    }
    this.#running = undefined;
    if (this.#isTriggered()) this.#arm(this.#schedule.scheduleDelayMs);
    else if (this.#mutations > 0) this.#arm(this.#interval());
  }

  /** Who waits gets the error; with nobody waiting it is logged, and tried again at the next scheduled point. */
  #onFailure(error: unknown, waiters: Waiter[]): void {
    if (this.#stopping.signal.aborted) {
      for (const waiter of waiters) waiter.reject(stopped());
      return;
    }
    this.#mutations++;
    this.#deletions++;
    if (waiters.length === 0) this.#log.error({ error: messageOf(error) }, "collect garbage");
    for (const waiter of waiters) waiter.reject(error);
  }
}

function stopped(): Error {
  return unavailable("collect garbage: the scheduler has stopped");
}
