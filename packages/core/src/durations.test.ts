import { expect, test } from "vitest";
import { formatGoDuration, parseGoDuration } from "./durations.ts";
import { isKind } from "./errors.ts";

test.each([
  ["0", 0],
  ["0s", 0],
  ["100ms", 100],
  ["1.5s", 1_500],
  [".5s", 500],
  ["1.s", 1_000],
  ["1h30m", 5_400_000],
  ["1h2m3s4ms5us6ns", 3_723_004.005006],
  ["2µs", 0.002],
  ["2μs", 0.002],
  ["-1m", -60_000],
  ["+1m", 60_000],
  ["-0s", 0],
])("parses %s", (text, millis) => {
  expect(parseGoDuration(text)).toBeCloseTo(millis, 6);
  expect(Object.is(parseGoDuration(text), -0)).toBe(false);
});

test.each(["", "-", "+", "1", "s", "1x", "1 s", ".s", "1d", "1ss", "1s ", "--1s", "1.2.3s", "9999999h", "Infinity"])(
  "refuses %j",
  (text) => {
    let thrown: unknown;
    try {
      parseGoDuration(text);
    } catch (error) {
      thrown = error;
    }
    expect(isKind(thrown, "invalid-argument")).toBe(true);
  },
);

test.each([
  [0, "0s"],
  [0.000001, "1ns"],
  [0.0015, "1.5µs"],
  [100, "100ms"],
  [1.25, "1.25ms"],
  [1_000, "1s"],
  [1_500, "1.5s"],
  [60_000, "1m0s"],
  [3_723_500, "1h2m3.5s"],
  [86_400_000, "24h0m0s"],
  [-1_500, "-1.5s"],
])("formats %d ms", (millis, text) => {
  expect(formatGoDuration(millis)).toBe(text);
  expect(parseGoDuration(text)).toBeCloseTo(millis, 6);
});
