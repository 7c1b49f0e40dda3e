/**
 * What the suites expect of any component.
 *
 * @module
 */
import type { ErrorKind } from "@ctrd/core/errors";
import { kindOf, messageOf } from "@ctrd/core/errors";
import type { Timestamp } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import { expect } from "vitest";

/** Expects the call to fail with an error of one of `kinds`. */
export async function expectKind(call: Promise<unknown>, ...kinds: ErrorKind[]): Promise<void> {
  await failureOf(call, kinds);
}

/** Expects the call to fail with an error of `kind` whose message has `text` in it: the object's name, for example. */
export async function expectError(call: Promise<unknown>, kind: ErrorKind, text: string | RegExp): Promise<void> {
  const error = await failureOf(call, [kind]);
  expect(messageOf(error), "message of the error").toMatch(text);
}

async function failureOf(call: Promise<unknown>, kinds: readonly ErrorKind[]): Promise<unknown> {
  const wanted = `expected an error of kind ${kinds.join(" or ")}`;
  let error: unknown;
  try {
    await call;
  } catch (caught) {
    error = caught;
  }
  if (error === undefined) expect.fail(`${wanted}, got none`);
  if (!kinds.includes(kindOf(error))) expect.fail(`${wanted}, got ${kindOf(error)}: ${messageOf(error)}`);
  return error;
}

/** Everything that an iterable gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Expects equality of records; bytes are the same in whatever kind of array they come. */
export function expectSame(actual: unknown, expected: unknown): void {
  expect(comparable(actual)).toEqual(comparable(expected));
}

/** A copy in which bytes are text and nothing is shared with the original. */
export function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, comparable(item)]));
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, comparable(item)]));
}

/** Expects a time between `earliest` (milliseconds) and now. */
export function expectSince(time: Timestamp | undefined, earliest: number): void {
  // A store may keep less than the milliseconds of its clock.
  const millis = millisFromTimestamp(time);
  expect(millis).toBeGreaterThanOrEqual(Math.floor(earliest) - 1);
  expect(millis).toBeLessThanOrEqual(Date.now() + 1);
}
