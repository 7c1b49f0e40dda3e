/**
 * Starting and stopping the task of a container.
 *
 * @module
 */
import type { Container } from "@ctrd/core/containers";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import type { TaskProcess, TaskService } from "@ctrd/core/tasks";
import { RestartLabel } from "./policy.ts";

const sigkill = 9;

/** The task of a container; undefined when it has none. */
export async function taskOf(tasks: TaskService, ctx: CallContext, id: string): Promise<TaskProcess | undefined> {
  try {
    return (await tasks.get(ctx, { containerId: id, execId: "" })).process;
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

/** Mounts of the container's snapshot. @throws ContainerdError `not-found` when that is gone */
export async function rootfsOf(
  snapshotters: SnapshotterLookup,
  ctx: CallContext,
  { snapshotter, snapshotKey }: Container,
): Promise<Mount[]> {
  if (snapshotKey === "") return [];
  return snapshotters.get(snapshotter).mounts(ctx, snapshotKey);
}

/** Makes a task of the container and starts it; one that cannot be started is deleted. The container has no task. */
export async function startTask(
  tasks: TaskService,
  ctx: CallContext,
  container: Container,
  rootfs: Mount[],
): Promise<void> {
  const { id, labels } = container;
  const terminal = hasTerminal(container);
  const output = labels.get(RestartLabel.logUri) ?? "";
  const request = { containerId: id, rootfs, stdin: "", stdout: output, stderr: terminal ? "" : output, terminal };
  const rest = { checkpoint: undefined, options: undefined, runtimePath: "", taskApiAddress: "", taskApiVersion: 0 };
  await tasks.create(ctx, { ...request, ...rest });
  try {
    await tasks.start(ctx, { containerId: id, execId: "" });
  } catch (error) {
    await endTask(tasks, withoutCancellation(ctx), id).catch((failure: unknown) => {
      ctx.log.debug({ container: id, err: messageOf(failure) }, "cannot delete a task that did not start");
    });
    throw error;
  }
}

/** Ends the task of a container with SIGKILL, unless it has ended, and deletes it, unless it is gone. */
export async function endTask(tasks: TaskService, ctx: CallContext, id: string): Promise<void> {
  await killTask(tasks, ctx, id);
  await deleteTask(tasks, ctx, id);
}

/** Ends the task of a container with SIGKILL, unless it has ended or is gone. */
export async function killTask(tasks: TaskService, ctx: CallContext, id: string): Promise<void> {
  const ref = { containerId: id, execId: "" };
  const ended = tasks.wait(ctx, ref);
  ended.catch(() => {});
  try {
    await tasks.kill(ctx, { ...ref, signal: sigkill, all: true });
  } catch (error) {
    // It has ended already, which a delete finds out.
    ctx.log.debug({ container: id, err: messageOf(error) }, "cannot kill a task");
    return;
  }
  await ended;
}

/** Deletes a task that has ended, unless somebody was faster. */
export async function deleteTask(tasks: TaskService, ctx: CallContext, id: string): Promise<void> {
  try {
    await tasks.delete(ctx, { containerId: id });
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}

function hasTerminal({ id, spec }: Container): boolean {
  if (spec === undefined) throw failedPrecondition(`container "${id}" has no spec`);
  try {
    const { process } = JSON.parse(new TextDecoder().decode(spec.value)) as { process?: { terminal?: boolean } | null };
    return process?.terminal === true;
  } catch (error) {
    throw failedPrecondition(`spec of container "${id}" is no JSON: ${messageOf(error)}`, { cause: error });
  }
}
