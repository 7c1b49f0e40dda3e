/**
 * One program that is asked.
 *
 * @module
 */
import { describeEnd, runProgram, succeeded } from "@ctrd/sys";

/** A question. */
export interface Question {
  readonly path: string;
  readonly args: readonly string[];
  readonly input: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What a program answered. */
export interface Answer {
  readonly accepted: boolean;
  /** How it ended. */
  readonly how: string;
  /** What it wrote to stdout, else to stderr. */
  readonly said: string;
}

/** Most bytes that are kept of each output. */
const maxOutput = 32 * 1024;

/**
 * Runs the program, in a process group of its own, to its end. Its exit code tells what it thinks, also when it has not
 * read the input.
 *
 * @throws Error when it cannot be started, or has not ended in time; the reason of `signal`
 */
export async function ask(question: Question): Promise<Answer> {
  const { end, stdout, stderr } = await runProgram({ ...question, maxOutput });
  if (end.kind === "timed out") throw new Error(`no answer within ${question.timeoutMs} ms`);
  return {
    accepted: succeeded(end),
    how: describeEnd(end),
    said: stdout.toString().trim() || stderr.toString().trim(),
  };
}
