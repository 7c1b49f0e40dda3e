/**
 * Ends of containers: noticed whenever they come, and written down.
 *
 * @module
 */
import { ContainerEventType } from "@ctrd/api/cri/runtime/v1/api";
import type { Task } from "@ctrd/client";
import { isKind, messageOf } from "@ctrd/core/errors";
import { publishEvent } from "../events/publish.ts";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import type { Container } from "./container.ts";
import { wasOomKilled } from "./oom.ts";

/** Waits for the end of a container in the background. @param memoryCgroup where its memory is accounted, if known */
export function watchExit(cri: Cri, container: Container, task: Task, memoryCgroup: string | undefined): void {
  void handleExit(cri, container, task, memoryCgroup).catch((error: unknown) => {
    cri.log.error({ container: container.id, err: messageOf(error) }, "end of a container not written down");
  });
}

async function handleExit(cri: Cri, container: Container, task: Task, memoryCgroup: string | undefined): Promise<void> {
  let exit = { exitCode: 255, finishedAt: 0n, reason: "Unknown" };
  try {
    const { exitCode, exitedAt } = await task.wait();
    exit = { exitCode, finishedAt: BigInt(exitedAt?.getTime() ?? 0) * 1_000_000n, reason: "" };
  } catch (error) {
    // The daemon stops; the container goes on.
    if (cri.client.context().signal.aborted) return;
    cri.log.warn({ container: container.id, err: messageOf(error) }, "end of a container not seen");
  }
  // The cgroup goes with the task.
  if (container.isOomKilled || (await wasOomKilled(memoryCgroup))) exit.reason = "OOMKilled";
  await deleteTask(cri, container, task);
  if (cri.client.context().signal.aborted) return;
  container.task = undefined;
  container.isUnknown = false;
  try {
    await container.update({ pid: 0, ...exit, finishedAt: exit.finishedAt === 0n ? nowNanos() : exit.finishedAt });
  } finally {
    publishEvent(cri, container, ContainerEventType.CONTAINER_STOPPED_EVENT);
  }
  await cri.nri.stopped(cri.background(), container);
}

/** Deletes a task that has ended, once its output was read. */
export async function deleteTask(cri: Cri, container: Container, task: Task): Promise<void> {
  try {
    await task.delete({ kill: true });
    await container.io?.ended;
  } catch (error) {
    // Its shim was lost, and everything of it cleaned up.
    if (isKind(error, "not-found") || cri.client.context().signal.aborted) return;
    cri.log.warn({ container: container.id, err: messageOf(error) }, "task of a container not deleted");
  }
}
