/**
 * Times as log lines carry them: local time with nanoseconds and the zone's offset (RFC 3339).
 *
 * @module
 */

/** How far the steady clock may be off the wall clock before it is set again. */
const maxDriftMs = 2;
/** The wall clock was set back if it is further behind than this. */
const maxAheadMs = 1_000;

/** Formats the present moment. Times of one clock do not go backwards unless the machine's clock does. */
export class LogClock {
  #baseMs = Date.now();
  #baseNanos = 0;
  #baseTicks = process.hrtime.bigint();
  #last = { ms: 0, nanos: 0 };
  #second = Number.NaN;
  #prefix = "";
  #zone = "";

  /** For example `2026-03-04T05:06:07.123456789+01:00`. Zeros at the end of the fraction are left out, as in Go. */
  now(): string {
    const { ms, nanos } = this.#read();
    const second = Math.floor(ms / 1_000);
    if (second !== this.#second) this.#setSecond(second);
    const fraction = ((ms - second * 1_000) * 1_000_000 + nanos).toString().padStart(9, "0").replace(/0+$/, "");
    return fraction === "" ? this.#prefix + this.#zone : `${this.#prefix}.${fraction}${this.#zone}`;
  }

  /** Wall clock in milliseconds, and nanoseconds beyond them, which only the steady clock tells. */
  #read(): { ms: number; nanos: number } {
    const wallMs = Date.now();
    const ticks = process.hrtime.bigint();
    const elapsed = this.#baseNanos + Number(ticks - this.#baseTicks);
    const wholeMs = Math.floor(elapsed / 1_000_000);
    const ms = this.#baseMs + wholeMs;
    if (Math.abs(ms - wallMs) > maxDriftMs) return this.#setBase(wallMs, ticks);
    this.#last = { ms, nanos: elapsed - wholeMs * 1_000_000 };
    return this.#last;
  }

  /** Begins anew from the wall clock, but not before the last time: that it is ahead a bit is from being interrupted. */
  #setBase(wallMs: number, ticks: bigint): { ms: number; nanos: number } {
    const ahead = this.#last.ms - wallMs;
    if (ahead < 0 || ahead > maxAheadMs) this.#last = { ms: wallMs, nanos: 0 };
    [this.#baseMs, this.#baseNanos, this.#baseTicks] = [this.#last.ms, this.#last.nanos, ticks];
    return this.#last;
  }

  #setSecond(second: number): void {
    this.#second = second;
    const time = new Date(second * 1_000);
    const offset = -time.getTimezoneOffset();
    const shifted = new Date((second + offset * 60) * 1_000);
    this.#prefix = shifted.toISOString().slice(0, 19);
    this.#zone = formatZone(offset);
  }
}

/** @param minutes east of Greenwich */
function formatZone(minutes: number): string {
  if (minutes === 0) return "Z";
  const size = Math.abs(minutes);
  const two = (value: number): string => value.toString().padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
