/**
 * StopContainer.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { untilAborted } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import type { Container } from "./container.ts";

/**
 * Stops a container: with its stop signal, and by force after the timeout; at once by force when that is 0. What does not
 * run is stopped.
 */
export async function stopContainer(
  cri: Cri,
  ctx: CallContext,
  container: Container,
  timeoutSeconds: number,
): Promise<void> {
  if (container.state === ContainerState.CONTAINER_UNKNOWN) await findOut(cri, ctx, container);
  if (container.state !== ContainerState.CONTAINER_RUNNING) return;
  if (timeoutSeconds > 0) {
    if (!container.isStopping) {
      container.isStopping = true;
      await kill(container, container.metadata.stopSignal || "SIGTERM", ctx);
    }
    const timer = new AbortController();
    try {
      const late = sleep(timeoutSeconds * 1000, undefined, { signal: timer.signal, ref: false }).catch(() => {});
      await untilAborted(Promise.race([container.exited, late]), ctx.signal);
    } finally {
      timer.abort();
    }
    if (container.state !== ContainerState.CONTAINER_RUNNING) return;
  }
  await kill(container, "SIGKILL", ctx);
  await untilAborted(container.exited, ctx.signal);
}

async function kill({ task }: Container, signal: string, ctx: CallContext): Promise<void> {
  try {
    await task?.kill(signal, { signal: ctx.signal, span: ctx.span, operation: ctx.operation });
  } catch (error) {
    // It has just ended.
    if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
  }
}

/** Ends whatever is left of a container that the daemon has lost sight of. */
async function findOut(cri: Cri, ctx: CallContext, container: Container): Promise<void> {
  try {
    const record = await cri.client.loadContainer(container.id, {
      signal: ctx.signal,
      span: ctx.span,
      operation: ctx.operation,
    });
    const task = await record.task({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    await task.delete({ kill: true, signal: ctx.signal });
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
  container.isUnknown = false;
  await container.update({ pid: 0, finishedAt: nowNanos(), exitCode: 255, reason: "Unknown" });
}
