import type { CallContext } from "@ctrd/core/context";
import { createContext, withSignal } from "@ctrd/core/context";
import { kindOf } from "@ctrd/core/errors";
import type { Envelope, EventReplay } from "@ctrd/core/events";
import { silentLogger } from "@ctrd/core/log";
import { now, timestampFromMillis } from "@ctrd/core/records";
import { eventSuite } from "@ctrd/testkit/events";
import { tempDir } from "@ctrd/testkit/fixtures";
import { expect, test } from "vitest";
import type { EventExchange } from "./index.ts";
import { createEventExchange, EventHistory } from "./index.ts";

const limits = { maxBytes: 8 << 20, maxAgeMs: 3_600_000 };
const subscriberLimits = { maxEvents: 3500, maxBytes: 64 << 20 };
const ctx = createContext({ namespace: "default" });

interface Opened extends AsyncDisposable {
  events: EventExchange;
  /** Closes it, and opens what another daemon would. */
  again(): Promise<void>;
}

async function open(): Promise<Opened> {
  const directory = await tempDir();
  let history = await EventHistory.open(directory.path, limits, silentLogger);
  const opened: Opened = {
    events: createEventExchange(subscriberLimits, history),
    async again() {
      opened.events.close();
      await history.close();
      history = await EventHistory.open(directory.path, limits, silentLogger);
      opened.events = createEventExchange(subscriberLimits, history);
    },
    async [Symbol.asyncDispose]() {
      opened.events.close();
      await history.close();
      await directory[Symbol.asyncDispose]();
    },
  };
  return opened;
}

eventSuite(
  "exchange with a history",
  async () => {
    const opened = await open();
    return { events: opened.events, ctx, close: async () => opened[Symbol.asyncDispose]() };
  },
  { limit: 3500 },
);

const named = (id: number): { typeUrl: string; value: Uint8Array } => ({
  typeUrl: "example.Event",
  value: Buffer.from(String(id)),
});
const idOf = ({ event }: Envelope): number => Number(Buffer.from(event?.value ?? []).toString());
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_unused, n) => from + n);

async function publish(events: EventExchange, from: number, to: number, topic = "/a"): Promise<void> {
  for (let id = from; id < to; id++) await events.publish(ctx, topic, named(id));
}

/** Takes `count` events, or all when the subscription ends. */
async function take(
  { events }: Opened,
  count: number,
  replay: EventReplay,
  filters: string[] = [],
  context: CallContext = ctx,
): Promise<Envelope[]> {
  const taken: Envelope[] = [];
  if (count === 0) return taken;
  for await (const envelope of events.subscribe(context, filters, replay)) {
    taken.push(envelope);
    if (taken.length === count) break;
  }
  return taken;
}

test("a subscriber comes back and gets every event once, while others are published", async () => {
  await using opened = await open();
  const { events } = opened;
  const done = { publishing: true };
  const publishing = (async () => {
    for (let id = 0; id < 5000; id += 10) {
      await publish(events, id, id + 10);
      if (id % 50 === 0) await new Promise(setImmediate);
    }
    done.publishing = false;
  })();
  const ids: number[] = [];
  let after = 0n;
  for (let round = 0; ids.length < 5000; round++) {
    const taken = await take(opened, Math.min(1 + ((round * 37) % 211), 5000 - ids.length), { after });
    const news = after === 0n ? taken.filter(({ topic }) => topic === "/a") : taken;
    ids.push(...news.map(idOf));
    after = taken.at(-1)?.sequence ?? after;
  }
  await publishing;
  expect(done.publishing).toBe(false);
  expect(ids).toEqual(range(0, 5000));
});

test("it may come back to another daemon", async () => {
  await using opened = await open();
  await publish(opened.events, 0, 10);
  const first = await take(opened, 4, { since: timestampFromMillis(0) });
  await opened.again();
  await publish(opened.events, 10, 15);
  const rest = await take(opened, 11, { after: first[3]?.sequence });
  expect([...first, ...rest].map(idOf)).toEqual(range(0, 15));
});

test("since and until are times of the events, and filters are heeded", async () => {
  await using opened = await open();
  await publish(opened.events, 0, 5);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const since = now();
  await publish(opened.events, 5, 8);
  await publish(opened.events, 8, 10, "/b");
  await new Promise((resolve) => setTimeout(resolve, 20));
  const until = now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await publish(opened.events, 10, 12);
  expect((await take(opened, 7, { since })).map(idOf)).toEqual(range(5, 12));
  // It ends by itself.
  expect((await take(opened, 100, { since, until })).map(idOf)).toEqual(range(5, 10));
  expect((await take(opened, 100, { since, until }, ["topic==/b"])).map(idOf)).toEqual([8, 9]);
  expect((await take(opened, 100, { since: timestampFromMillis(0), until: now() })).map(idOf)).toEqual(range(0, 12));
  expect(await take(opened, 100, { until })).toEqual([]);
  const later = timestampFromMillis(Date.now() + 300);
  const waiting = take(opened, 100, { since, until: later });
  await publish(opened.events, 12, 14);
  expect((await waiting).map(idOf)).toEqual(range(5, 14));
});

test("it ends with its call, and with the exchange", async () => {
  await using opened = await open();
  await publish(opened.events, 0, 10);
  const controller = new AbortController();
  const since = timestampFromMillis(0);
  const waiting = take(opened, 100, { since }, [], withSignal(ctx, controller.signal));
  setTimeout(() => controller.abort(), 50);
  expect((await waiting).map(idOf)).toEqual(range(0, 10));
  const other = take(opened, 100, { since });
  setTimeout(() => opened.events.close(), 50);
  expect((await other).map(idOf)).toEqual(range(0, 10));
});

test("an event that a shim sends again is not published again, also by another daemon", async () => {
  await using opened = await open();
  const timestamp = { seconds: 1_700_000_000n, nanos: 123_456_789 };
  const envelope = (id: number, nanos = timestamp.nanos): Envelope => ({
    timestamp: { ...timestamp, nanos },
    namespace: "n",
    topic: "/tasks/exit",
    event: named(id),
  });
  await opened.events.forward(ctx, envelope(1));
  await opened.events.forward(ctx, envelope(1));
  await opened.events.forward(ctx, envelope(1, 5));
  await opened.again();
  await opened.events.forward(ctx, envelope(1));
  await opened.events.forward(ctx, envelope(2));
  expect((await take(opened, 3, { after: 1n })).slice(1).map(idOf)).toEqual([1, 1]);
  expect((await take(opened, 4, { after: 1n })).slice(1).map(idOf)).toEqual([1, 1, 2]);
});

test("a subscriber that was too slow finds what was dropped where it left", async () => {
  await using opened = await open();
  const { events } = opened;
  const slow = events.subscribe(ctx, []);
  const reader = slow[Symbol.asyncIterator]();
  await publish(events, 0, 3);
  const seen: Envelope[] = [];
  for (let n = 0; n < 3; n++) seen.push((await reader.next()).value as Envelope);
  await publish(events, 3, 3600);
  const error = await reader.next().then(
    () => new Error("it was not ended"),
    (reason: Error) => reason,
  );
  const after = seen[2]?.sequence;
  expect(error.message).toMatch(/its reader is 3501 events \(\d+ bytes\) behind, and they were dropped; /);
  expect(error.message).toContain(`after ${after})`);
  expect((await take(opened, 3597, { after })).map(idOf)).toEqual(range(3, 3600));
});

test("without a history nothing of the past can be had, and who asks is told so", () => {
  const error = (() => {
    try {
      createEventExchange().subscribe(ctx, [], { after: 1n });
    } catch (reason) {
      return reason as Error;
    }
    return new Error("it was not refused");
  })();
  expect(kindOf(error)).toBe("failed-precondition");
  expect(error.message).toContain("keeps no history of events; set history in");
});
