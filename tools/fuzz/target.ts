/**
 * What a fuzz target is.
 *
 * @module
 */
import { ContainerdError } from "@ctrd/core/errors";
import type { ErrorKind } from "@ctrd/core/errors";
import type { Mutate } from "./mutate.ts";

/** A parser, or a daemon, that is given inputs. */
export interface Target {
  readonly name: string;
  /** Inputs beside those in `corpus/<name>/`. */
  readonly seeds?: () => readonly Buffer[];
  readonly mutate: Mutate;
  /** Milliseconds that one input may take; 2000 when absent. */
  readonly limit?: number;
  /** Makes what the inputs are given to. */
  open(): Promise<OpenTarget> | OpenTarget;
}

/** A target that takes inputs. */
export interface OpenTarget {
  /**
   * Takes an input. A ContainerdError of a kind that says what is wrong with it is an answer; anything else that is thrown
   * is a fault.
   */
  run(input: Buffer): void | Promise<void>;
  close?(): PromiseLike<void>;
}

/** A fault that a target itself has found. */
export class Violation extends Error {
  override readonly name: string = "Violation";
}

/** Kinds that say nothing of the input. */
const senseless: ReadonlySet<ErrorKind> = new Set(["internal", "unknown"]);

/** Whether an error is an answer to a wrong input. */
export function isAnswer(error: unknown): boolean {
  return error instanceof ContainerdError && !senseless.has(error.kind);
}

/** Runs `parse`; undefined when the input is refused as it should be. */
export function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isAnswer(error)) return undefined;
    throw error;
  }
}

/** Fails unless `holds`. */
export function ensure(holds: boolean, message: () => string): asserts holds {
  if (!holds) throw new Violation(message());
}

/** A target of a function that does not wait. */
export function pure(name: string, mutate: Mutate, run: (input: Buffer) => void): Target {
  return { name, mutate, open: () => ({ run }) };
}
