/**
 * What the doctor finds.
 *
 * @module
 */
import type { DoctorScope } from "./scope.ts";

/** `error`: something is lost or wrong; `warning`: something is left over, or open to others. */
export type Severity = "error" | "warning";

/** Something that is not as it should be. */
export interface Finding {
  readonly check: string;
  readonly severity: Severity;
  /** What it is about: `content sha256:…`, a path, `task x`. */
  readonly object: string;
  readonly problem: string;
  /** What follows from it. */
  readonly meaning: string;
  /** What to do, when `--repair` cannot; otherwise what it does. */
  readonly remedy: string;
  /** Mends it; absent where that is not safe. Says what was done. */
  repair?(): Promise<string>;
}

/** Looks for one kind of trouble. */
export interface Check {
  readonly name: string;
  /** What it compares, for people. */
  readonly about: string;
  /**
   * What is found cannot go away by itself, and is not looked for again. Of other checks only what is found again and
   * again counts: a daemon at work is always in the middle of something.
   */
  readonly lasting?: boolean;
  /** Why it cannot be made here; undefined when it can. */
  obstacle?(scope: DoctorScope): string | undefined;
  run(scope: DoctorScope): Promise<Finding[]>;
}
