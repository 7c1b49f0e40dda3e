import { messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import { hookErrorIn } from "../network/hook-error.ts";

/** Exit codes of a program that cannot be run, as shells and Docker have them. */
const exitCodes = { notExecutable: 126, notFound: 127 } as const;

/**
 * Runs what makes or starts a process.
 *
 * @param failed exit code for a failure that is not the program's
 * @throws CommandFailure whose exit code says whether the program is missing, may not be run, or something else is wrong
 */
export async function starting<T>(failed: number, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const message = messageOf(error);
    const network = hookErrorIn(message);
    if (network !== undefined) throw new CommandFailure(network, { exitCode: failed, cause: error });
    const exitCode = /executable file not found|no such file or directory/.test(message)
      ? exitCodes.notFound
      : /permission denied/.test(message)
        ? exitCodes.notExecutable
        : failed;
    throw new CommandFailure(message.replace(/: unknown$/, ""), { exitCode, cause: error });
  }
}

/** Starts a process; one that cannot be started is deleted. @throws CommandFailure as {@link starting} */
export async function startOrDelete(
  failed: number,
  process: { start(): Promise<unknown>; delete(options: { kill: boolean }): Promise<unknown> },
): Promise<void> {
  try {
    await starting(failed, () => process.start());
  } catch (error) {
    await process.delete({ kill: true });
    throw error;
  }
}
