import type { Client } from "@ctrd/client";
import { silentLogger } from "@ctrd/core/log";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { followEvents } from "./follow.ts";

it("subscribes again, after a pause, when the events end; not when the client is closed", async () => {
  const closing = new AbortController();
  let subscriptions = 0;
  let restarts = 0;
  const client = {
    context: () => ({ signal: closing.signal }),
    // An exchange that is closed ends subscriptions at once.
    subscribe: () => (subscriptions++, (async function* () {})()),
  } as unknown as Client;
  followEvents(
    client,
    silentLogger,
    "",
    async () => {},
    async () => void restarts++,
  );
  await sleep(350);
  expect(subscriptions).toBeGreaterThan(1);
  expect(subscriptions).toBeLessThan(10);
  closing.abort();
  await sleep(50);
  const before = subscriptions;
  await sleep(250);
  expect(subscriptions).toBe(before);
  expect(restarts).toBe(before - 1);
});
