/**
 * Times as people type them.
 *
 * @module
 */
import { parseGoDuration } from "@ctrd/core/durations";
import { CommandFailure } from "../failure.ts";

/**
 * A time as RFC 3339, seconds since 1970, or how long ago (`5m`).
 *
 * @returns milliseconds since 1970; undefined without a text
 */
export function parseTime(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const millis = /^\d{9,}$/.test(text)
    ? Number(text) * 1000
    : /^[\d.]+(ns|us|ms|[smh])/.test(text)
      ? Date.now() - parseGoDuration(text)
      : Date.parse(text);
  if (Number.isNaN(millis)) {
    throw new CommandFailure(`${flag} needs a time such as 2026-01-02T15:04:05Z or 10m, got ${JSON.stringify(text)}`);
  }
  return millis;
}
