/**
 * Cleans up after shims that are gone.
 *
 * @module
 */
import { TaskDelete, TaskExit as TaskExitEvent } from "@ctrd/api/events/task";
import { createContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import { now } from "@ctrd/core/records";
import type { TaskExit } from "@ctrd/core/tasks";
import { protoAny } from "@ctrd/core/typeurl";
import { socketPath } from "./address.ts";
import type { Bundle } from "./bundle.ts";
import { removeDeadSocket } from "./connect.ts";
import { BundleFile } from "./layout.ts";
import type { ShimManager } from "./manager.ts";
import { deleteByBinary } from "./shim-binary.ts";
import { lostExitStatus } from "./task.ts";

/** `delete` is tried again once: a machine under load may exceed its time. */
const attempts = 2;

/**
 * Ends what the shim of `bundle` left (its `delete` action) and removes the bundle. Failures are logged.
 *
 * @param binary path of the shim's binary; without one the container is not ended
 * @returns how the init process ended; status 255 when `delete` failed
 */
export async function cleanUpDeadShim(
  manager: ShimManager,
  bundle: Bundle,
  binary: string | undefined,
  pid: number,
): Promise<TaskExit> {
  const exit = await endByBinary(manager, bundle, binary);
  await removeSocket(manager, bundle);
  await removeBundle(manager, bundle);
  return exit ?? { pid, exitStatus: lostExitStatus, exitedAt: now() };
}

/** Removes the socket file of a shim that was killed; not every shim's `delete` does. */
async function removeSocket(manager: ShimManager, bundle: Bundle): Promise<void> {
  try {
    const endpoint = await bundle.readEndpoint();
    if (endpoint !== undefined) await removeDeadSocket(socketPath(endpoint.address));
  } catch (error) {
    manager.log.warn({ bundle: bundle.path, err: messageOf(error) }, "remove socket of lost shim");
  }
}

async function endByBinary(
  manager: ShimManager,
  bundle: Bundle,
  binary: string | undefined,
): Promise<TaskExit | undefined> {
  if (binary === undefined) return undefined;
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      return await deleteByBinary(binary, bundle, manager.settings, manager.timeouts.cleanup);
    } catch (error) {
      manager.log.warn(
        { task: bundle.id, namespace: bundle.namespace, attempt, err: messageOf(error) },
        "clean up after lost shim",
      );
    }
  }
  return undefined;
}

/** Removes a bundle; a failure is logged, since what was asked for (the task's end) has happened. */
export async function removeBundle(manager: ShimManager, bundle: Bundle): Promise<void> {
  try {
    await bundle.delete();
  } catch (error) {
    manager.log.error({ bundle: bundle.path, err: messageOf(error) }, "remove bundle");
  }
}

/** Makes a bundle. One of this name that nobody owns was left by a crash: it is cleaned up first. */
export async function createBundle(manager: ShimManager, bundle: Bundle, spec: Uint8Array | undefined): Promise<void> {
  try {
    await bundle.create(spec);
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
    manager.log.warn({ bundle: bundle.path }, "clean up left bundle");
    await cleanUpDeadShim(manager, bundle, await bundle.read(BundleFile.shimBinary), 0);
    await bundle.create(spec);
  }
}

/** Publishes the exit and the deletion of a task whose shim can no longer do it. */
export async function publishLost(manager: ShimManager, bundle: Bundle, exit: TaskExit): Promise<void> {
  const ctx = createContext({ namespace: bundle.namespace, log: manager.log });
  const { pid, exitStatus, exitedAt } = exit;
  const facts = { containerId: bundle.id, pid, exitStatus, exitedAt };
  try {
    const ended = TaskExitEvent.encode({ ...facts, id: bundle.id }).finish();
    await manager.events.publish(ctx, "/tasks/exit", protoAny("containerd.events.TaskExit", ended));
    const deleted = TaskDelete.encode({ ...facts, id: "" }).finish();
    await manager.events.publish(ctx, "/tasks/delete", protoAny("containerd.events.TaskDelete", deleted));
  } catch (error) {
    manager.log.error({ task: bundle.id, namespace: bundle.namespace, err: messageOf(error) }, "publish task events");
  }
}
