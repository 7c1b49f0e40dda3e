/**
 * Patience with limits.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds that a restart and a work may take when nothing else is said. */
export const usualPatienceMs = 30_000;

/** Whether it has ended in time. @throws what it throws */
export async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const giveUp = new AbortController();
  const late = sleep(ms, false, { signal: giveUp.signal });
  late.catch(() => undefined); // given up when the work has ended
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    giveUp.abort();
  }
}

/** The text of any thrown value. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
