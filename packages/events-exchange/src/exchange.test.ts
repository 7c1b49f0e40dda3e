import { createContext } from "@ctrd/core/context";
import type { Envelope } from "@ctrd/core/events";
import { eventSuite } from "@ctrd/testkit/events";
import { describe, expect, it } from "vitest";
import { createEventExchange } from "./index.ts";

const ctx = createContext({ namespace: "default" });
const event = { typeUrl: "example.Event", value: new Uint8Array(100) };

eventSuite(
  "exchange",
  async () => {
    const events = createEventExchange({ maxEvents: 3500, maxBytes: 64 << 20 });
    return { events, ctx, close: async () => events.close() };
  },
  { limit: 3500 },
);

async function take(events: AsyncIterable<Envelope>, count: number): Promise<Envelope[]> {
  const taken: Envelope[] = [];
  for await (const envelope of events) {
    taken.push(envelope);
    if (taken.length === count) break;
  }
  return taken;
}

describe("event exchange", () => {
  it("refuses a malformed filter when it is given, not when it is read", () => {
    expect(() => createEventExchange().subscribe(ctx, ["a=="])).toThrow(/invalid argument/);
  });

  it("ends every subscription on close", async () => {
    const events = createEventExchange();
    const waiting = [take(events.subscribe(ctx, []), 1), take(events.subscribe(ctx, []), 1)];
    events.close();
    expect(await Promise.all(waiting)).toEqual([[], []]);
  });

  it("ends a subscriber that is too many bytes behind, and says how many", async () => {
    const events = createEventExchange({ maxEvents: 1000, maxBytes: 1050 });
    const slow = events.subscribe(ctx, []);
    for (let i = 0; i < 20; i++) await events.publish(ctx, "/a", event);
    await expect(take(slow, 1)).rejects.toThrow(/11 events \(1100 bytes\) behind.*resource exhausted/);
  });
});
