/**
 * Commands that change what a container does: `start`, `stop`, `kill`, `rm`, `pause`, `unpause`, `wait`, `rename`.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Container, Task } from "@ctrd/client";
import { signalNumber } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { CommandFailure } from "../failure.ts";
import { renameInNetwork } from "../network/container-network.ts";
import type { Session } from "../session.ts";
import { defaultDetachKeys } from "./detach-keys.ts";
import { findContainer, forEachContainer } from "./find.ts";
import { autoRemoveLabel, nameLabel, nameOf, shortId, stopSignalLabel, stopTimeoutLabel } from "./labels.ts";
import { parseNumber } from "./quantities.ts";
import { markKilled, markStopped } from "./restart.ts";
import { removeContainer, removeWithVolumes, startAttached, startDetached } from "./start.ts";
import { noteExit, stateOf, taskOf } from "./state.ts";

/** Flags of `ctrd start`. */
export interface StartFlags {
  attach?: boolean;
  detachKeys?: string;
}

/** Runs `ctrd start`. */
export async function start(session: Session, names: readonly string[], flags: StartFlags): Promise<void> {
  const [name = "", ...more] = names;
  if (flags.attach !== true) {
    await forEachContainer(session, names, (container) => startDetached(session, container));
    return;
  }
  if (more.length > 0) throw new CommandFailure("only one container can be in front; leave --attach out");
  const { detachKeys = defaultDetachKeys } = flags;
  const container = await findContainer(session, name);
  process.exitCode = await startAttached(session, container, { detachKeys, forwardSignals: true });
}

/** Flags of `ctrd stop`. */
export interface StopFlags {
  time?: string;
  signal?: string;
}

const defaultStopSeconds = 10;

/** Runs `ctrd stop`: asks the process to end, and after a while makes it. */
export async function stop(session: Session, names: readonly string[], flags: StopFlags): Promise<void> {
  await forEachContainer(session, names, (container) => stopContainer(session, container, flags));
}

async function stopContainer(session: Session, container: Container, flags: StopFlags): Promise<void> {
  await markStopped(container);
  const task = await taskOf(session, container);
  if (task === undefined) return;
  const { state } = await task.status();
  if (state !== "stopped") {
    const time = flags.time ?? container.labels.get(stopTimeoutLabel);
    const seconds = time === undefined ? defaultStopSeconds : parseNumber("--time", time);
    if (state === "paused") await task.resume();
    await endTask(session, task, flags.signal ?? container.labels.get(stopSignalLabel) ?? "SIGTERM", seconds);
  }
  await finish(container, task);
}

async function endTask(session: Session, task: Task, signal: string, seconds: number): Promise<void> {
  const ended = task.wait({ signal: session.signal });
  ended.catch(() => {});
  await unlessEnded(() => task.kill(signal));
  const patience = new AbortController();
  const late = sleep(seconds * 1000, "late", { signal: AbortSignal.any([session.signal, patience.signal]) });
  late.catch(() => {});
  if (seconds >= 0 && (await Promise.race([ended, late])) === "late") {
    await unlessEnded(() => task.kill("SIGKILL", { all: true }));
  }
  await ended;
  patience.abort();
}

/** Of a container that has ended: notes how, and lets go of its task; with `--rm`, of all of it. */
async function finish(container: Container, task: Task): Promise<void> {
  // Else its logging program would do it, at the same time.
  if (container.labels.get(autoRemoveLabel) === "true") return;
  try {
    await noteExit(container, await task.delete());
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}

async function unlessEnded(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
  }
}

/** Runs `ctrd kill`. */
export async function kill(session: Session, names: readonly string[], signal: string): Promise<void> {
  signalNumber(signal);
  await forEachContainer(session, names, async (container) => {
    const task = await runningTask(session, container);
    await markKilled(container, signal);
    await task.kill(signal, { signal: session.signal });
  });
}

/** The task of a container that runs. @throws CommandFailure when it does not */
export async function runningTask(session: Session, container: Container): Promise<Task> {
  const task = await taskOf(session, container);
  const status = await task?.status();
  if (task !== undefined && (status?.state === "running" || status?.state === "paused")) return task;
  const name = nameOf(container.labels) || shortId(container.id);
  throw new CommandFailure(`container "${name}" does not run`, { remedy: `start it with: ctrd start ${name}` });
}

/** Flags of `ctrd rm`. */
export interface RemoveFlags {
  force?: boolean;
  volumes?: boolean;
}

/** Runs `ctrd rm`. */
export async function remove(
  session: Session,
  names: readonly string[],
  { force = false, volumes = false }: RemoveFlags,
): Promise<void> {
  await forEachContainer(session, names, async (container) => {
    const { state } = await stateOf(session, container);
    if (!force && ["running", "paused", "restarting"].includes(state)) {
      const name = nameOf(container.labels) || shortId(container.id);
      throw new CommandFailure(`container "${name}" is ${state}`, {
        remedy: `stop it first (ctrd stop ${name}), or use --force`,
      });
    }
    await markStopped(container);
    await (volumes ? removeWithVolumes(session, container, true) : removeContainer(container, true));
  });
}

/** Runs `ctrd pause`. */
export async function pause(session: Session, names: readonly string[]): Promise<void> {
  await forEachContainer(session, names, async (container) => (await runningTask(session, container)).pause());
}

/** Runs `ctrd unpause`. */
export async function unpause(session: Session, names: readonly string[]): Promise<void> {
  await forEachContainer(session, names, async (container) => (await runningTask(session, container)).resume());
}

/** Runs `ctrd wait`: prints the exit code of each once it has ended. */
export async function wait(session: Session, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const container = await findContainer(session, name);
    const task = await taskOf(session, container);
    const exitCode =
      task === undefined
        ? (await stateOf(session, container)).exitCode
        : (await task.wait({ signal: session.signal })).exitCode;
    if (exitCode === undefined) {
      throw new CommandFailure(`container "${name}" was never started`, {
        remedy: `start it with: ctrd start ${name}`,
      });
    }
    process.stdout.write(`${exitCode}\n`);
  }
}

/** Runs `ctrd rename`. */
export async function rename(session: Session, from: string, to: string): Promise<void> {
  checkIdentifier("container name", to);
  const container = await findContainer(session, from);
  const all = await session.client.containers([], { signal: session.signal });
  const taken = all.find(({ id, labels }) => id !== container.id && (nameOf(labels) === to || id === to));
  if (taken !== undefined) throw new CommandFailure(`the name "${to}" is taken by container ${shortId(taken.id)}`);
  await container.setLabels({ [nameLabel]: to });
  await renameInNetwork(container, to);
}

/** Runs `ctrd container-ended`, for the logging program of a container that is removed when it has ended. */
export async function containerEnded(session: Session, id: string): Promise<void> {
  try {
    const container = await session.client.loadContainer(id);
    const task = await taskOf(session, container);
    await task?.wait({ signal: session.signal });
    await removeWithVolumes(session, container, true);
  } catch (error) {
    // Somebody was faster.
    if (!isKind(error, "not-found")) throw error;
  }
}
