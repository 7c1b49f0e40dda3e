/**
 * Subscriptions that begin in the past: the history first, then what is published.
 */
import type { CallContext } from "@ctrd/core/context";
import type { Envelope, EventReplay } from "@ctrd/core/events";
import { lostEventsTopic } from "@ctrd/core/events";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { EventHistory } from "./history/history.ts";
import type { Subscription } from "./subscription.ts";

/** Shims send their events late when the daemon was busy or away: 5 tries, the last after 5 seconds. */
const lateMs = 60_000;
/** Longest time that a timer can wait for. */
const maxTimerMs = 0x7fff_ffff;

/** Whether a subscription is to begin in the past. */
export function beginsInThePast(replay: EventReplay): boolean {
  return replay.since !== undefined || replay.after !== undefined;
}

/** Sequence of the last event that the subscriber does not want again. */
function startOf(history: EventHistory, { since, after }: EventReplay): number {
  if (since === undefined) return Number(after ?? 0n);
  const oldest = history.segments[0]?.after ?? 0;
  const kept = (Date.now() - history.limits.maxAgeMs) * 1000;
  // An event is here no sooner than it happened.
  return Math.floor(Math.max(millisFromTimestamp(since) * 1000 - 1, kept, oldest, Number(after ?? 0n)));
}

/**
 * The events that match, from the past on.
 *
 * @param follow subscribes to what is published from then on
 */
export async function* replayed(
  history: EventHistory,
  ctx: CallContext,
  replay: EventReplay,
  matches: (envelope: Envelope) => boolean,
  follow: () => Subscription,
): AsyncGenerator<Envelope> {
  const cursor = history.cursor(startOf(history, replay));
  const wanted = (envelope: Envelope): boolean =>
    envelope.topic === lostEventsTopic || (isWithin(envelope, replay) && matches(envelope));
  const end = replay.until === undefined ? Infinity : millisFromTimestamp(replay.until);
  try {
    // No event can come between the question whether all were read and the subscription to those that are not there yet.
    while (!cursor.isAtEnd && cursor.position < (end + lateMs) * 1000) {
      if (ctx.signal.aborted) return;
      for (const envelope of await cursor.next()) if (wanted(envelope)) yield envelope;
    }
    const live = follow();
    const unwritten = history.unwritten(cursor.position);
    try {
      await cursor.close();
      for (const envelope of unwritten) if (wanted(envelope)) yield envelope;
      yield* until(live, replay);
    } finally {
      live.end();
    }
  } finally {
    await cursor.close();
  }
}

/** What a subscription gets, up to the time at which it is to end. */
export async function* until(live: Subscription, replay: EventReplay): AsyncGenerator<Envelope> {
  const end = replay.until === undefined ? Infinity : millisFromTimestamp(replay.until);
  const left = end - Date.now();
  const timer = left <= maxTimerMs ? setTimeout(() => live.finish(), Math.max(0, left)) : undefined;
  if (left <= 0) live.finish();
  try {
    for await (const envelope of live) if (isWithin(envelope, replay)) yield envelope;
  } finally {
    clearTimeout(timer);
    live.end();
  }
}

function isWithin({ timestamp, topic }: Envelope, { since, until: end }: EventReplay): boolean {
  if (topic === lostEventsTopic) return true;
  const time = millisFromTimestamp(timestamp);
  if (since !== undefined && time < millisFromTimestamp(since)) return false;
  return end === undefined || time <= millisFromTimestamp(end);
}
