/**
 * What became of a container's process.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Container, ProcessExit, ProcessStatus, Task } from "@ctrd/client";
import { errnoOf, isKind } from "@ctrd/core/errors";
import { formatSpan } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { exitLabel } from "./labels.ts";
import { isRestarting } from "./restart.ts";

/** State of a container: its task's, or what was noted when that was deleted. */
export interface ContainerState {
  readonly state: "created" | "running" | "paused" | "restarting" | "exited" | "unknown";
  /** 0 unless it runs. */
  readonly pid: number;
  readonly exitCode: number | undefined;
  readonly exitedAt: Date | undefined;
}

/** The task of a container; undefined when it has none. */
export async function taskOf(session: Session, container: Container): Promise<Task | undefined> {
  try {
    return await container.task({ signal: session.signal });
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

/** Reads the state of a container. */
export async function stateOf(session: Session, container: Container): Promise<ContainerState> {
  const task = await taskOf(session, container);
  if (task === undefined) return stateWithoutTask(container);
  try {
    return stateOfStatus(container, await task.status({ signal: session.signal }));
  } catch (error) {
    if (isKind(error, "not-found")) return stateWithoutTask(container);
    throw error;
  }
}

function stateOfStatus({ labels }: Container, { state, pid, exitCode, exitedAt }: ProcessStatus): ContainerState {
  if (state === "stopped") return ended(labels, exitCode, exitedAt);
  const known = state === "pausing" ? "paused" : state;
  return { state: known, pid, exitCode: undefined, exitedAt: undefined };
}

function stateWithoutTask({ labels }: Container): ContainerState {
  const [code, time] = labels.get(exitLabel)?.split(" ") ?? [];
  const exitCode = code === undefined ? undefined : Number(code);
  const exitedAt = time === undefined ? undefined : new Date(time);
  return ended(labels, exitCode, exitedAt);
}

function ended(
  labels: ReadonlyMap<string, string>,
  exitCode: number | undefined,
  exitedAt: Date | undefined,
): ContainerState {
  const state = isRestarting(labels, exitCode) ? "restarting" : exitCode === undefined ? "created" : "exited";
  return { state, pid: 0, exitCode, exitedAt };
}

/** Notes how a container ended, before its task is gone. */
export async function noteExit(container: Container, { exitCode, exitedAt }: ProcessExit): Promise<void> {
  await container.setLabels({ [exitLabel]: `${exitCode} ${(exitedAt ?? new Date()).toISOString()}` });
}

/** A state as `ps` shows it: `Up 5 minutes`, `Exited (0) 2 hours ago`. */
export async function describeState({ state, pid, exitCode, exitedAt }: ContainerState): Promise<string> {
  if (state === "exited" || state === "restarting") {
    const age = exitedAt === undefined ? "" : ` ${formatSpan(Date.now() - exitedAt.getTime())} ago`;
    return `${state === "exited" ? "Exited" : "Restarting"} (${exitCode ?? 0})${age}`;
  }
  if (state !== "running" && state !== "paused") return state === "created" ? "Created" : "Unknown";
  const since = await startOf(pid);
  const up = since === undefined ? "Up" : `Up ${formatSpan(Date.now() - since)}`;
  return state === "paused" ? `${up} (paused)` : up;
}

/** Kernel ticks a second, as every Linux machine shows them to programs. */
const ticksPerSecond = 100;

/** When a process began, in milliseconds since the epoch; undefined when it is not on this machine, or is gone. */
async function startOf(pid: number): Promise<number | undefined> {
  try {
    const [stat, system] = await Promise.all([readFile(`/proc/${pid}/stat`, "utf8"), readFile("/proc/stat", "utf8")]);
    // The name in parentheses may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const boot = Number(/^btime (\d+)$/m.exec(system)?.[1]);
    return (boot + Number(fields[19]) / ticksPerSecond) * 1000;
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
