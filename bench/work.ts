/** What a measured work is, and how its numbers become one line. */
import type { TestRegistry } from "@ctrd/testkit/fixtures";
import type { Side } from "./side.ts";

/** What works share. */
export interface BenchContext {
  /** Kept between runs of the benchmark, with the large image. */
  readonly registry: TestRegistry;
  /** For images of one run of the benchmark. */
  readonly scratch: TestRegistry;
  /** Kept between runs of the benchmark: large images. */
  readonly cache: string;
}

export interface Work {
  readonly name: string;
  /** Unit of the numbers: `s`, `ms`, `MB/s`, `MB`. */
  readonly unit: string;
  /** What the issue wants of ours / theirs. */
  readonly target: string;
  /** Measured once per side only: something that does not vary from run to run. */
  readonly once?: boolean;
  /** Brings a side to where measuring can begin. */
  prepare?(side: Side, context: BenchContext): Promise<void>;
  /** One measured run; returns the number. It undoes what it did, outside of the measured time. */
  run(side: Side, context: BenchContext): Promise<number>;
}

export interface WorkResult {
  readonly name: string;
  readonly unit: string;
  readonly target: string;
  readonly ratio: number;
  readonly ours: number;
  readonly theirs: number;
  readonly samples: { readonly ours: readonly number[]; readonly theirs: readonly number[] };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Milliseconds that `body` takes. */
export async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

/** `name ratio ours theirs unit`. */
export function line(result: WorkResult): string {
  const { name, ratio, ours, theirs, unit, target } = result;
  return `${name.padEnd(15)} ${ratio.toFixed(2).padStart(6)} ${short(ours)} ${short(theirs)} ${unit.padEnd(5)} (${target})`;
}

function short(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0).padStart(8);
}
