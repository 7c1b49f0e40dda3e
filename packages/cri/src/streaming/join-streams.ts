/**
 * Two connections that carry each other's bytes.
 *
 * @module
 */
import { untilAborted } from "@ctrd/core/context";
import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** How long the second direction may go on after the first has ended. */
const lingerMs = 1_000;

/**
 * Carries the bytes of each stream to the other until both directions have ended, one has ended a second ago, or `signal`
 * aborts; then both are closed. A half that ends is ended on the other side too.
 *
 * @throws the first failure of either, or the abort
 */
export async function joinStreams(a: Duplex, b: Duplex, signal: AbortSignal, linger: number = lingerMs): Promise<void> {
  const over = new AbortController();
  const there = carry(a, b);
  const back = carry(b, a);
  const both = Promise.all([there, back]);
  // Only the first failure is told.
  for (const direction of [there, back, both]) direction.catch(() => {});
  try {
    await untilAborted(Promise.race([there, back]), signal);
    const late = sleep(linger, undefined, { signal: over.signal }).catch(() => {});
    await untilAborted(Promise.race([both, late]), signal);
  } finally {
    over.abort();
    a.destroy();
    b.destroy();
  }
}

/** Resolves when `from` has ended and `to` has taken all of it. */
async function carry(from: Duplex, to: Duplex): Promise<void> {
  from.pipe(to);
  await Promise.all([finished(from, { writable: false }), finished(to, { readable: false })]);
}
