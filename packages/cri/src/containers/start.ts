/**
 * StartContainer.
 *
 * @module
 */
import { ContainerEventType, ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, internal, messageOf } from "@ctrd/core/errors";
import { publishEvent } from "../events/publish.ts";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import { together } from "../store/together.ts";
import type { Container } from "./container.ts";
import { watchExit } from "./exits.ts";
import { memoryCgroupOf } from "./oom.ts";

/** Exit code of a container that could not be started. */
const startErrorCode = 128;

/** Starts a container that was created. When that fails it has exited, with the reason in its status. */
export async function startContainer(cri: Cri, ctx: CallContext, id: string): Promise<void> {
  const container = cri.containers.get(id);
  checkStartable(container);
  container.busy = "starting";
  try {
    const sandbox = cri.sandboxes.get(container.metadata.sandboxId);
    if (sandbox.state !== "ready") throw failedPrecondition(`pod sandbox "${sandbox.id}" is not ready`);
    await start(cri, ctx, container);
  } catch (error) {
    await container.update({
      pid: 0,
      startedAt: 0n,
      finishedAt: nowNanos(),
      exitCode: startErrorCode,
      reason: "StartError",
      message: messageOf(error),
    });
    publishEvent(cri, container, ContainerEventType.CONTAINER_STOPPED_EVENT);
    throw error;
  } finally {
    container.busy = undefined;
  }
}

function checkStartable({ id, state, busy }: Container): void {
  const what = `start container "${id}"`;
  if (busy !== undefined)
    throw failedPrecondition(`${what}: it is being ${busy === "starting" ? "started" : "removed"}`);
  if (state !== ContainerState.CONTAINER_CREATED) {
    const name = Object.entries(ContainerState).find(([, value]) => value === state)?.[0] ?? "";
    throw failedPrecondition(`${what}: it is in ${name} state, not created`);
  }
}

async function start(cri: Cri, ctx: CallContext, container: Container): Promise<void> {
  const { io } = container;
  if (io === undefined) throw internal(`container "${container.id}" has no streams`);
  const record = await cri.client.loadContainer(container.id, { signal: ctx.signal, span: ctx.span });
  const { endpoint: taskApi } = cri.sandboxes.get(container.metadata.sandboxId);
  const { signal, span, operation } = ctx;
  const task = await record.newTask({ signal, span, operation, io: io.creator, taskApi });
  io.connect(task);
  const change = { pid: task.pid, startedAt: nowNanos() };
  let written: Promise<void>;
  let memoryCgroup: string | undefined;
  try {
    await cri.nri.container(ctx, "startContainer", container);
    // While the shim works: a daemon after this one ends what was written down as started and was not.
    written = container.save(change);
    written.catch(() => {});
    [memoryCgroup] = await together(
      ctx,
      () => memoryCgroupOf(task.pid),
      (inner) => task.start({ signal: inner.signal, span: inner.span, operation }),
    );
  } catch (error) {
    await task.delete({ kill: true });
    await io.ended;
    throw error;
  }
  container.task = task;
  container.note(change);
  publishEvent(cri, container, ContainerEventType.CONTAINER_STARTED_EVENT);
  await written.finally(() => watchExit(cri, container, task, memoryCgroup));
  await cri.nri.quietly("after a start", () => cri.nri.container(ctx, "postStartContainer", container));
}
