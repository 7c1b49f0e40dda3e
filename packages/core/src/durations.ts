/**
 * Durations in Go's notation (`1h30m`, `100ms`, `1.5s`), which containerd's configuration, labels and messages use.
 *
 * @module
 */
import { invalidArgument } from "./errors.ts";

/** Milliseconds per unit. Both micro signs that Go accepts are there. */
const units: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

const term = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** Go keeps durations as int64 nanoseconds. */
const maxMillis = 2 ** 63 / 1e6;

/**
 * Reads a Go duration.
 *
 * @returns milliseconds, with a fraction for anything finer; negative for a leading `-`
 * @throws ContainerdError `invalid-argument` when the text is not a duration
 */
export function parseGoDuration(text: string): number {
  const negative = text.startsWith("-");
  const body = negative || text.startsWith("+") ? text.slice(1) : text;
  if (body === "0") return 0;
  let millis = 0;
  let at = 0;
  while (at < body.length) {
    term.lastIndex = at;
    const match = term.exec(body);
    if (match === null) throw malformed(text);
    millis += Number(match[1]) * (units.get(match[2] ?? "") ?? Number.NaN);
    at = term.lastIndex;
  }
  if (at === 0 || millis > maxMillis) throw malformed(text);
  return negative && millis !== 0 ? -millis : millis;
}

/**
 * Writes a duration as Go prints it: `1h2m3.5s`, `100ms`, `1.5µs`, `0s`.
 *
 * @param millis milliseconds; rounded to whole nanoseconds
 */
export function formatGoDuration(millis: number): string {
  const nanos = BigInt(Math.round(Math.abs(millis) * 1e6));
  if (nanos === 0n) return "0s";
  const sign = millis < 0 ? "-" : "";
  if (nanos < 1_000n) return `${sign}${nanos}ns`;
  if (nanos < 1_000_000n) return `${sign}${decimal(nanos, 3)}µs`;
  if (nanos < 1_000_000_000n) return `${sign}${decimal(nanos, 6)}ms`;
  const minutes = nanos / 60_000_000_000n;
  const seconds = `${decimal(nanos % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return sign + seconds;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** `value` × 10^-`digits` without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  return fraction === "" ? text.slice(0, -digits) : `${text.slice(0, -digits)}.${fraction}`;
}

function malformed(text: string): Error {
  return invalidArgument(`duration "${text}" must be numbers with units ns, us, ms, s, m or h, for example "1h30m"`);
}
