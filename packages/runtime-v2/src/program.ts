/**
 * Runs a shim binary to its end.
 *
 * @module
 */
import { deadlineExceeded, notFound, unknownError } from "@ctrd/core/errors";
import type { ProgramResult, ProgramRun } from "@ctrd/sys";
import { commandLine, describeEnd, hasErrno, runProgram } from "@ctrd/sys";

/**
 * Runs the binary; how it ended is in the result.
 *
 * @throws ContainerdError `not-found` when it, or its working directory, cannot be found, `deadline-exceeded` after
 * `timeoutMs`, `unknown` when it cannot be started; the reason of `signal` when that aborts
 */
export async function runShimBinary(run: ProgramRun): Promise<ProgramResult> {
  let result: ProgramResult;
  try {
    result = await runProgram(run);
  } catch (error) {
    if (run.signal?.aborted === true) throw error;
    const message = `start ${commandLine(run)} in ${run.cwd ?? "the working directory"}`;
    throw hasErrno(error, "ENOENT") ? notFound(message, { cause: error }) : unknownError(message, { cause: error });
  }
  if (result.end.kind === "timed out") throw deadlineExceeded(`run ${commandLine(run)} for ${run.timeoutMs} ms`);
  return result;
}

/** The error of a run that did not end well; its message holds what the program said. */
export function exitError(run: ProgramRun, result: ProgramResult, said: Buffer = result.combined): Error {
  return unknownError(`${commandLine(run)}: ${describeEnd(result.end)}: ${said.toString().trim()}`);
}
