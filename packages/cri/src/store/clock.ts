/** Times as CRI has them: nanoseconds since the epoch. */
import type { Timestamp } from "@ctrd/core/records";

let last = 0n;

/** The current time; later than at the call before, so that what is made one after the other sorts so. */
export function nowNanos(): bigint {
  const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
  last = now > last ? now : last + 1n;
  return last;
}

/** Nanoseconds of a record's time; 0 when it is absent. */
export function nanosOf(timestamp: Timestamp | undefined): bigint {
  return timestamp === undefined ? 0n : timestamp.seconds * 1_000_000_000n + BigInt(timestamp.nanos);
}
