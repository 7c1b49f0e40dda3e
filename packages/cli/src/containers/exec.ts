import { randomBytes } from "node:crypto";
import type { Container, Task } from "@ctrd/client";
import { nullIo, streams } from "@ctrd/client";
import type { Process, Spec } from "@ctrd/oci";
import { applyOptions, withCapabilities, withCwd, withEnv, withEnvFile, withTty, withUser } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { defaultDetachKeys } from "./detach-keys.ts";
import { findContainer } from "./find.ts";
import { copyOutput, inForeground } from "./foreground.ts";
import { runningTask } from "./lifecycle.ts";
import { startOrDelete, starting } from "./start-failure.ts";

/** Exit code when the process cannot be started. */
const failed = 1;

/** Flags of `ctrd exec`. */
export interface ExecFlags {
  interactive?: boolean;
  tty?: boolean;
  detach?: boolean;
  env?: string[];
  envFile?: string[];
  workdir?: string;
  user?: string;
  privileged?: boolean;
  detachKeys?: string;
}

/** Runs `ctrd exec`, and sets the exit code of the process. */
export async function exec(session: Session, name: string, args: readonly string[], flags: ExecFlags): Promise<void> {
  const { interactive = false, tty = false, detach = false, detachKeys = defaultDetachKeys } = flags;
  if (interactive && tty && !detach && !process.stdin.isTTY) {
    throw new CommandFailure("-it needs a terminal, and standard input is none", {
      remedy: "leave -t out to feed it from a pipe",
    });
  }
  const container = await findContainer(session, name);
  const task = await runningTask(session, container);
  const spec = await processOf(session, container, task, args, flags);
  const io = detach ? nullIo : streams({ stdin: interactive, terminal: tty });
  const added = await starting(failed, () =>
    task.exec(`exec-${randomBytes(8).toString("hex")}`, { process: spec, io }),
  );
  if (detach) {
    await startOrDelete(failed, added);
    return;
  }
  const copied = copyOutput([
    [added.stdout, process.stdout],
    [added.stderr, process.stderr],
  ]);
  const begin = (): Promise<void> => {
    // From here on signals are the process's alone.
    session.interruption.release();
    return startOrDelete(failed, added);
  };
  const end = await inForeground(added, { terminal: tty, detachKeys, forwardSignals: true, stdin: added.stdin, begin });
  // What it writes from now on is nobody's.
  if (end === "detached") process.exit(0);
  await added.delete();
  await copied;
  process.exitCode = end.exitCode;
}

/** The process: the container's own, changed as the flags say. */
async function processOf(
  session: Session,
  container: Container,
  task: Task,
  args: readonly string[],
  flags: ExecFlags,
): Promise<Partial<Process>> {
  const { id } = container;
  const spec: Spec = await container.spec();
  const { env = [], envFile = [], workdir, user, tty = false, privileged = false } = flags;
  // The root of the running process is the container's, with all of its mounts.
  const withRootfs = <T>(use: (root: string) => Promise<T>): Promise<T> => use(`/proc/${task.pid}/root`);
  const context = { id, namespace: session.client.namespace, signal: session.signal, withRootfs };
  if (spec.process !== undefined) delete spec.process.consoleSize;
  await applyOptions(context, spec, [
    ...(tty ? [withTty()] : []),
    ...envFile.map((file) => withEnvFile(file)),
    withEnv(...env),
    ...(workdir === undefined ? [] : [withCwd(workdir)]),
    ...(user === undefined ? [] : [withUser(user)]),
    ...(privileged ? [withCapabilities("ALL")] : []),
  ]);
  return { ...spec.process, args: [...args], terminal: tty };
}
