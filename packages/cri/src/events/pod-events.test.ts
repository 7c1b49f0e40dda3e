import { ContainerEventResponse } from "@ctrd/api/cri/runtime/v1/api";
import { expect, test } from "vitest";
import { nowNanos } from "../store/clock.ts";
import { PodEvents } from "./pod-events.ts";

const event = (containerId: string, createdAt = nowNanos()): ContainerEventResponse =>
  ContainerEventResponse.fromPartial({ containerId, createdAt });

async function take(events: AsyncIterable<ContainerEventResponse>, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const { containerId } of events) if (ids.push(containerId) === count) break;
  return ids;
}

test("a reader gets the last five minutes and what comes; leaving ends it", async () => {
  const events = new PodEvents();
  events.publish(event("old", nowNanos() - 6n * 60n * 1_000_000_000n));
  events.publish(event("recent"));
  const leaving = new AbortController();
  const reader = events.subscribe(leaving.signal);
  expect(await take(events.subscribe(leaving.signal), 1)).toEqual(["recent"]);
  const next = async (): Promise<string | undefined> => {
    const { value } = await reader.next();
    return (value as ContainerEventResponse | undefined)?.containerId;
  };
  expect(await next()).toBe("recent");
  const waiting = next();
  events.publish(event("new"));
  expect(await waiting).toBe("new");
  const last = reader.next();
  leaving.abort();
  expect(await last).toEqual({ done: true, value: undefined });
});

test("a reader that does not read is told so in the end, and costs no more memory", async () => {
  const events = new PodEvents();
  const reader = events.subscribe(new AbortController().signal);
  events.publish(event("0"));
  await reader.next();
  for (let count = 1; count <= 10_001; count++) events.publish(event(String(count)));
  await expect(take(reader, 20_000)).rejects.toThrow(/more than 10000 events behind/);
});
