import { createContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { GarbageCollector, GcStats } from "@ctrd/core/gc";
import type { LogFields, Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { gcConfig } from "./config.ts";
import { collectionInterval, isDue } from "./policy.ts";
import type { GcSchedule, RunningGcScheduler } from "./scheduler.ts";
import { defaultGcSchedule, startGcScheduler } from "./scheduler.ts";

/** A collector whose runs the test ends, and whose writes the test reports. */
class FakeCollector implements GarbageCollector {
  runs = 0;
  auto = true;
  pauseMs = 1;
  readonly #listeners = new Set<(dirty: boolean) => void>();
  #pending: PromiseWithResolvers<GcStats> | undefined;

  collectGarbage(): Promise<GcStats> {
    this.runs++;
    this.#pending = Promise.withResolvers<GcStats>();
    const { promise } = this.#pending;
    if (this.auto) this.finish();
    return promise;
  }

  finish(): void {
    this.#pending?.resolve({ pauseMs: this.pauseMs, totalMs: this.pauseMs, removed: new Map() });
  }

  fail(error: Error): void {
    this.#pending?.reject(error);
  }

  onMutation(listener: (dirty: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  write(dirty = false): void {
    for (const listener of this.#listeners) listener(dirty);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}

const ctx = createContext();
let running: RunningGcScheduler | undefined;
let collector: FakeCollector;

function start(schedule: Partial<GcSchedule> = {}, log: Logger = silentLogger): RunningGcScheduler {
  running = startGcScheduler(collector, { ...defaultGcSchedule, ...schedule }, log);
  return running;
}

/** Lets the first collection pass. */
async function started(schedule: Partial<GcSchedule> = {}): Promise<RunningGcScheduler> {
  const scheduler = start(schedule);
  await vi.advanceTimersByTimeAsync(defaultGcSchedule.startupDelayMs);
  expect(collector.runs).toBe(1);
  return scheduler;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  collector = new FakeCollector();
});

afterEach(async () => {
  await running?.stop();
  running = undefined;
  vi.useRealTimers();
});

test("collects once after the startup delay, then rests", async () => {
  start();
  await vi.advanceTimersByTimeAsync(99);
  expect(collector.runs).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(1);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(collector.runs).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("a delay or interval that is longer than timers can wait does not fire at once", async () => {
  start({ startupDelayMs: 100 * 86_400_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(collector.runs).toBe(0);
  await running?.stop();
  await started({ pauseThreshold: 1e-9 });
  collector.write(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(collector.runs).toBe(1);
});

test("collects for a deletion at the next scheduled point", async () => {
  await started();
  collector.write(true);
  await vi.advanceTimersByTimeAsync(244);
  expect(collector.runs).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(2);
});

test("collects at once at the deletion threshold", async () => {
  await started({ deletionThreshold: 3 });
  collector.write(true);
  collector.write(true);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(1);
  collector.write(true);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(2);
});

test("collects for writes only from the mutation threshold on", async () => {
  await started({ mutationThreshold: 3 });
  collector.write();
  collector.write();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(collector.runs).toBe(1);
  collector.write();
  await vi.advanceTimersByTimeAsync(245);
  expect(collector.runs).toBe(2);
});

test("spreads collections so that pauses stay below the threshold", async () => {
  collector.pauseMs = 100;
  await started({ pauseThreshold: 0.1 });
  collector.write(true);
  await vi.advanceTimersByTimeAsync(899);
  expect(collector.runs).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(2);
});

test("scheduleAndWait collects after the schedule delay", async () => {
  const scheduler = await started({ scheduleDelayMs: 50 });
  const wait = scheduler.scheduleAndWait(ctx);
  await vi.advanceTimersByTimeAsync(49);
  expect(collector.runs).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect((await wait).pauseMs).toBe(1);
  expect(collector.runs).toBe(2);
});

test("scheduleAndWait before the first collection does not wait for the startup delay", async () => {
  const scheduler = start({ startupDelayMs: 60_000 });
  const wait = scheduler.scheduleAndWait(ctx);
  await vi.advanceTimersByTimeAsync(1);
  await wait;
  expect(collector.runs).toBe(1);
});

test("scheduleAndWait during a collection waits for another one", async () => {
  const scheduler = await started();
  collector.auto = false;
  const first = scheduler.scheduleAndWait(ctx);
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(2);
  let done = false;
  const second = scheduler.scheduleAndWait(ctx).then(() => (done = true));
  collector.finish();
  await first;
  await vi.advanceTimersByTimeAsync(1);
  expect(collector.runs).toBe(3);
  expect(done).toBe(false);
  collector.finish();
  await second;
});

test("several waiters share one collection", async () => {
  const scheduler = await started();
  const waits = [scheduler.scheduleAndWait(ctx), scheduler.scheduleAndWait(ctx), scheduler.scheduleAndWait(ctx)];
  await vi.advanceTimersByTimeAsync(1);
  await Promise.all(waits);
  expect(collector.runs).toBe(2);
});

test("a failure reaches those who wait, and the next collection is scheduled", async () => {
  const scheduler = await started();
  collector.auto = false;
  const wait = scheduler.scheduleAndWait(ctx);
  wait.catch(() => {});
  await vi.advanceTimersByTimeAsync(1);
  collector.fail(new Error("disk full"));
  await expect(wait).rejects.toThrow("disk full");
  collector.auto = true;
  await vi.advanceTimersByTimeAsync(300);
  expect(collector.runs).toBe(3);
});

test("a failure that nobody waits for is logged", async () => {
  const lines: LogFields[] = [];
  collector.auto = false;
  start({}, { ...silentLogger, error: (fields) => void lines.push(fields) });
  await vi.advanceTimersByTimeAsync(100);
  collector.fail(new Error("disk full"));
  await vi.advanceTimersByTimeAsync(0);
  expect(lines).toEqual([{ error: "disk full" }]);
});

test("a caller that gives up stops waiting", async () => {
  const scheduler = await started();
  collector.auto = false;
  const abort = new AbortController();
  const wait = scheduler.scheduleAndWait(createContext({ signal: abort.signal }));
  wait.catch(() => {});
  await vi.advanceTimersByTimeAsync(1);
  abort.abort(new Error("gone"));
  await expect(wait).rejects.toThrow("gone");
  collector.finish();
});

test("stop ends waiting calls, the subscription and the timer", async () => {
  const scheduler = await started();
  collector.auto = false;
  const wait = scheduler.scheduleAndWait(ctx);
  wait.catch(() => {});
  collector.write(true);
  const stopping = scheduler.stop();
  await stopping;
  await expect(wait).rejects.toSatisfy((error) => isKind(error, "unavailable"));
  await expect(scheduler.scheduleAndWait(ctx)).rejects.toSatisfy((error) => isKind(error, "unavailable"));
  expect(collector.listeners).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test.each([
  [0.02, 0, 0, 1000],
  [0.02, 1, 1, 245],
  [0.02, 100, 10, 490],
  [0.5, 100, 1, 100],
  [0.9, 100, 1, 100],
  [0, 100, 1, 1000],
])("interval for threshold %d, %d ms in %d collections is %d ms", (threshold, sum, count, interval) => {
  expect(collectionInterval(threshold, sum, count)).toBeCloseTo(interval, 6);
});

test.each([
  [100, 99, 0, false],
  [100, 100, 0, true],
  [0, 1000, 0, false],
  [100, 1, 1, true],
])("threshold %d, %d writes, %d deletions: %s", (threshold, mutations, deletions, due) => {
  expect(isDue(threshold, mutations, deletions)).toBe(due);
});

test("the configuration has containerd's keys and defaults", async () => {
  const result = await gcConfig.standard["~standard"].validate({});
  expect(result).toEqual({
    value: {
      pause_threshold: 0.02,
      deletion_threshold: 0,
      mutation_threshold: 100,
      schedule_delay: "0s",
      startup_delay: "100ms",
    },
  });
  for (const bad of [{ schedule_delay: "soon" }, { startup_delay: "-1s" }, { mutation_threshold: -1 }]) {
    expect((await gcConfig.standard["~standard"].validate(bad)).issues).toHaveLength(1);
  }
  expect(gcConfig.jsonSchema()).toHaveProperty("properties.pause_threshold.default", 0.02);
});
