/**
 * RFC 3339 text of the `startedat` and `updatedat` files.
 *
 * @module
 */
import type { Timestamp } from "@ctrd/core/records";
import { timestampFromMillis } from "@ctrd/core/records";

const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** Writes a timestamp with nanoseconds, in UTC. */
export function formatTimestamp(timestamp: Timestamp): string {
  const seconds = new Date(Number(timestamp.seconds) * 1000).toISOString().slice(0, 19);
  const fraction = String(timestamp.nanos).padStart(9, "0").replace(/0+$/, "");
  return fraction === "" ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}

/** Reads a timestamp; undefined when the text is none, as after a crash that left an empty file. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = pattern.exec(text.trim());
  if (match === null) return undefined;
  const millis = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(millis)) return undefined;
  return { ...timestampFromMillis(millis), nanos: Number((match[2] ?? "").padEnd(9, "0")) };
}
