/**
 * Events that stand for missing ones.
 */
import { EventsLost } from "@ctrd/api/ctrd/events/lost";
import { lostEventsTopic } from "@ctrd/core/events";
import { timestampFromMillis } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";
import type { NumberedEnvelope } from "./records.ts";

/** An event that stands for missing ones; a `count` of 0 when nobody knows how many. */
export function lostEvents(sequence: number, count: number): NumberedEnvelope {
  return {
    timestamp: timestampFromMillis(sequence / 1000),
    namespace: "",
    topic: lostEventsTopic,
    event: protoAny("ctrd.events.EventsLost", EventsLost.encode({ count: BigInt(count) }).finish()),
    sequence: BigInt(sequence),
  };
}

/** How many events are missing when these are. */
export function countEvents(envelopes: readonly NumberedEnvelope[]): number {
  const counts = envelopes.map(({ topic, event }) =>
    topic === lostEventsTopic && event !== undefined ? Number(EventsLost.decode(event.value).count) : 1,
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
