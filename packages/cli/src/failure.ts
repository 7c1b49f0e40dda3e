/**
 * Failures: one line that says what is wrong and what to do next, and an exit code.
 *
 * @module
 */
import { codeFromKind, ContainerdError, kindFromCode, kindOf, messageOf } from "@ctrd/core/errors";

/** Ends the program with an exit code; without a message nothing is printed. */
export class CommandFailure extends Error {
  override readonly name: string = "CommandFailure";
  readonly exitCode: number;
  /** What to do about it. */
  readonly remedy: string | undefined;

  constructor(message: string, options: { exitCode?: number; remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
    this.remedy = options.remedy;
  }
}

/** Exit code of a program that was interrupted, as shells count. */
export const interruptedExitCode = 130;

/** Prints an error. @returns the exit code */
export function reportFailure(error: unknown, debug: boolean): number {
  const canceled = kindOf(error) === "canceled";
  const text = canceled ? "interrupted" : firstLine(error);
  if (text !== "") process.stderr.write(`ctrd: ${text}\n`);
  if (error instanceof CommandFailure && error.remedy !== undefined) process.stderr.write(`      ${error.remedy}\n`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n${causesOf(error)}`);
  if (error instanceof CommandFailure) return error.exitCode;
  return canceled ? interruptedExitCode : 1;
}

/** The message without the text of its kind, which is meant for API clients. */
function firstLine(error: unknown): string {
  const [line = ""] = messageOf(error).split("\n");
  if (!(error instanceof ContainerdError)) return line;
  const kindText = new ContainerdError(kindFromCode(codeFromKind(error.kind)), "").message;
  return line.endsWith(`: ${kindText}`) ? line.slice(0, -kindText.length - 2) : line;
}

function causesOf(error: Error): string {
  return error.cause instanceof Error ? `caused by ${error.cause.stack ?? ""}\n${causesOf(error.cause)}` : "";
}
