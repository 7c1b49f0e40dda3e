/**
 * Two connections that carry each other's bytes.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** How long the second direction may go on after the first has ended. */
const lingerMs = 1_000;

/**
 * Carries the bytes of each stream to the other until both directions have ended, one has ended a second ago, or `signal`
 * aborts; then both are closed. A half that ends is ended on the other side too.
 *
 * @throws the first failure of either, unless the other direction had ended already
 */
export async function joinStreams(a: Duplex, b: Duplex, signal: AbortSignal, linger: number = lingerMs): Promise<void> {
  const over = new AbortController();
  const there = pipeline(a, b, { signal, end: true });
  const back = pipeline(b, a, { signal, end: true });
  try {
    await Promise.race([there, back]);
    const rest = Promise.allSettled([there, back]);
    await Promise.race([rest, sleep(linger, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
    a.destroy();
    b.destroy();
    await Promise.allSettled([there, back, finished(a), finished(b)]);
  }
}
