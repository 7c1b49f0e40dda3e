/**
 * Starting containers, in front and in the background.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Container, ProcessExit, Task } from "@ctrd/client";
import { streams } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import { writePid } from "../logs/driver-options.ts";
import { LogWriter } from "../logs/log-writer.ts";
import { checkNetwork, forgetNetwork } from "../network/container-network.ts";
import type { Session } from "../session.ts";
import { removeAnonymous, volumesOf, volumesUsedBy } from "../volumes/session-volumes.ts";
import { fifoIo, loggedIo, prepareDriver, rotationOf, startDriver } from "./detached-io.ts";
import { directoryOf, makeDirectory, removeDirectory } from "./directory.ts";
import { copyOutput, inForeground } from "./foreground.ts";
import { autoRemoveLabel, interactiveLabel } from "./labels.ts";
import { hasRestartPolicy, markStarted } from "./restart.ts";
import { startOrDelete, starting } from "./start-failure.ts";
import { noteExit, taskOf } from "./state.ts";

/** How a container is started in front. */
export interface AttachOptions {
  readonly detachKeys: string;
  readonly forwardSignals: boolean;
}

/** Exit code when the container cannot be started, as Docker has it. */
const failed = 125;

/** Starts a container in the background. */
export async function startDetached(session: Session, container: Container): Promise<void> {
  const { signal } = session;
  await removeOldTask(session, container);
  await checkNetwork(container);
  const directory = directoryOf(container) ?? (await makeDirectory(session, container.id));
  const terminal = await hasTerminal(container);
  let driver: ChildProcess | undefined;
  const io =
    container.labels.get(interactiveLabel) === "true"
      ? fifoIo(session, container, directory, terminal, (started) => (driver = started))
      : loggedIo(session, container, directory, terminal);
  try {
    const task = await starting(failed, () => container.newTask({ io, signal }));
    writePid(directory, task.pid);
    await startOrDelete(failed, task);
    await markStarted(container);
  } catch (error) {
    // Nobody will write what it would wait for.
    driver?.kill("SIGKILL");
    throw error;
  }
}

/** Starts a container in front. @returns its exit code; 0 when it was left running */
export async function startAttached(session: Session, container: Container, options: AttachOptions): Promise<number> {
  await removeOldTask(session, container);
  await checkNetwork(container);
  const { signal } = session;
  const terminal = await hasTerminal(container);
  const interactive = container.labels.get(interactiveLabel) === "true";
  const directory = directoryOf(container) ?? (await makeDirectory(session, container.id));
  // In our own directory they stay when we leave.
  const fifoDirectory = join(directory, "io");
  const io = streams({ stdin: interactive, terminal });
  const task = await starting(failed, () =>
    container.newTask({ io: (target) => io({ ...target, fifoDirectory }), signal }),
  );
  // For when the daemon starts it the next time.
  if (hasRestartPolicy(container.labels)) prepareDriver(session, container, directory);
  const autoRemove = container.labels.get(autoRemoveLabel) === "true";
  const log = autoRemove ? undefined : new LogWriter(directory, rotationOf(container));
  if (log !== undefined) keepOutput(task, log);
  const copied = copyOutput([
    [task.stdout, process.stdout],
    [task.stderr, process.stderr],
  ]);
  const begin = async (): Promise<void> => {
    // From here on signals are the container's alone.
    session.interruption.release();
    await startOrDelete(failed, task);
    await markStarted(container);
  };
  const end = await inForeground(task, { ...options, terminal, stdin: task.stdin, begin });
  if (end === "detached") {
    const { process: found } = await session.tasks.get(session.ctx, { containerId: container.id, execId: "" });
    if (found !== undefined) {
      await startDriver(session, container, directory, found);
      writePid(directory, task.pid);
    }
    // Closing our ends would remove the FIFOs.
    process.exit(0);
  }
  const exit = await deleteEnded(task, end.exitCode);
  await copied;
  log?.end();
  if (autoRemove) await removeWithVolumes(session, container);
  else await noteExit(container, exit);
  return end.exitCode;
}

/** Deletes a task that has ended, unless the daemon has done so to start the container again. */
async function deleteEnded(task: Task, exitCode: number): Promise<ProcessExit> {
  try {
    return await task.delete();
  } catch (error) {
    if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
    await task.output();
    task.detach();
    return { exitCode, exitedAt: new Date() };
  }
}

function keepOutput({ stdout, stderr }: Task, log: LogWriter): void {
  stdout?.on("data", (data: Buffer) => log.write("stdout", data));
  stderr?.on("data", (data: Buffer) => log.write("stderr", data));
}

/** Deletes a container, its snapshot, and what is kept of it here. */
export async function removeContainer(container: Container, kill = false): Promise<void> {
  await container.delete({ snapshot: true, kill });
  try {
    await forgetNetwork(container);
  } finally {
    await removeDirectory(container);
  }
}

/** {@link removeContainer}, and with it the volumes that were made for it alone. */
export async function removeWithVolumes(session: Session, container: Container, kill = false): Promise<void> {
  const names = await volumesUsedBy(volumesOf(session), container);
  await removeContainer(container, kill);
  await removeAnonymous(session, names);
}

async function hasTerminal(container: Container): Promise<boolean> {
  return (await container.spec()).process?.terminal ?? false;
}

/** A task that has ended makes room for a new one. */
async function removeOldTask(session: Session, container: Container): Promise<void> {
  const old = await taskOf(session, container);
  if (old === undefined) return;
  const { state } = await old.status();
  if (state !== "stopped") {
    throw new CommandFailure(`container ${container.id.slice(0, 12)} is ${state} already`, {
      remedy: "connect to it with: ctrd attach; run something in it with: ctrd exec",
    });
  }
  await old.delete();
}
