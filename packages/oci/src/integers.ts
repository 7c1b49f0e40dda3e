import { invalidArgument } from "@ctrd/core/errors";
import type { SpecInteger } from "./spec.ts";

/** Largest signed number of 64 bits. */
export const maxInt64: bigint = 2n ** 63n - 1n;

/** @throws ContainerdError `invalid-argument` unless `value` is a whole number, exact, and in the range */
export function requireInteger(what: string, value: SpecInteger, min: bigint, max: bigint): void {
  const exact = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!exact || value < min || value > max) {
    throw invalidArgument(`${what} ${value} is not a whole number in ${min} … ${max} (beyond 2^53 use a bigint)`);
  }
}
