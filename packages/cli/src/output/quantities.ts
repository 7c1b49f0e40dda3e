/**
 * Sizes and times, for people.
 *
 * @module
 */
import type { Timestamp } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes with three digits or so: `12.3 MiB`. */
export function formatBytes(bytes: bigint | number): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? ""}`;
}

const spans: readonly (readonly [name: string, seconds: number])[] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** A length of time in its largest unit: `5 minutes`. */
export function formatSpan(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  for (const [name, length] of spans) {
    const count = Math.floor(seconds / length);
    if (count > 0) return `${count} ${name}${count === 1 ? "" : "s"}`;
  }
  return "less than a second";
}

/** How long ago a time was: `5 minutes ago`; empty for none. */
export function formatAge(time: Timestamp | undefined, now: number = Date.now()): string {
  return time === undefined ? "" : `${formatSpan(now - millisFromTimestamp(time))} ago`;
}

/** RFC 3339; empty for none. */
export function formatTime(time: Timestamp | undefined): string {
  return time === undefined ? "" : new Date(millisFromTimestamp(time)).toISOString();
}

/** Seconds as a clock shows them: `1m05s`, `12s`. */
export function formatClock(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return `${minutes}m${String(rest).padStart(2, "0")}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, "0")}m`;
}
