import type { Container } from "@ctrd/client";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { createContainer } from "./create.ts";
import { defaultDetachKeys } from "./detach-keys.ts";
import type { CreateFlags, RunFlags } from "./flags.ts";
import { removeWithVolumes, startAttached, startDetached } from "./start.ts";

/** Exit code of a run that did not come to the container's program, as Docker's. */
const runFailedExitCode = 125;

/** Runs `ctrd run`, and sets the exit code of the container. */
export async function run(session: Session, image: string, args: readonly string[], flags: RunFlags): Promise<void> {
  const { detach = false, interactive = false, tty = false } = flags;
  if (!detach && interactive && tty && !process.stdin.isTTY) {
    throw new CommandFailure("-it needs a terminal, and standard input is none", {
      exitCode: runFailedExitCode,
      remedy: "leave -t out to feed it from a pipe",
    });
  }
  const container = await failingRun(() => createContainer(session, image, args, flags));
  try {
    if (detach) {
      await failingRun(() => startDetached(session, container));
      process.stdout.write(`${container.id}\n`);
      return;
    }
    const { detachKeys = defaultDetachKeys, sigProxy = true } = flags;
    process.exitCode = await failingRun(() =>
      startAttached(session, container, { detachKeys, forwardSignals: sigProxy }),
    );
  } catch (error) {
    if (flags.rm === true) await removeAfterFailure(session, container);
    throw error;
  }
}

/** Runs `ctrd create`. */
export async function create(
  session: Session,
  image: string,
  args: readonly string[],
  flags: CreateFlags,
): Promise<void> {
  const container = await failingRun(() => createContainer(session, image, args, flags));
  process.stdout.write(`${container.id}\n`);
}

async function removeAfterFailure(session: Session, container: Container): Promise<void> {
  try {
    await removeWithVolumes(session, container, true);
  } catch (error) {
    if (kindOf(error) !== "not-found") session.ctx.log.warn({ err: messageOf(error) }, "cannot remove the container");
  }
}

/** What fails before the container's program runs is no exit code of that. */
async function failingRun<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (kindOf(error) === "canceled" || (error instanceof CommandFailure && error.exitCode !== 1)) throw error;
    const remedy = error instanceof CommandFailure ? error.remedy : undefined;
    throw new CommandFailure(messageOf(error), {
      exitCode: runFailedExitCode,
      cause: error,
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
}
