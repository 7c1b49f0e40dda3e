/** Containers that were there before the daemon. */
import { mkdir } from "node:fs/promises";
import type { Container as ContainerObject, Task } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { ContainerIo } from "../containers/container-io.ts";
import { containerExtension, decodeContainerMetadata } from "../containers/container-metadata.ts";
import { Container } from "../containers/container.ts";
import { userOf } from "../containers/create.ts";
import { watchExit } from "../containers/exits.ts";
import { containerIo } from "../containers/log.ts";
import { memoryCgroupOf } from "../containers/oom.ts";
import type { StoredStatus } from "../containers/status-file.ts";
import { readStatus } from "../containers/status-file.ts";
import { containerRoot, containerState } from "../sandboxes/layout.ts";
import { nanosOf, nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import { kindLabel } from "../store/labels.ts";

export async function recoverContainers(cri: Cri, ctx: CallContext): Promise<void> {
  const records = await cri.client.containers([`labels."${kindLabel}"==container`], {
    signal: ctx.signal,
    span: ctx.span,
    operation: ctx.operation,
  });
  await Promise.all(
    records.map(async (record) => {
      try {
        await recoverContainer(cri, ctx, record);
      } catch (error) {
        cri.log.error({ container: record.id, err: messageOf(error) }, "container not recovered");
      }
    }),
  );
}

async function recoverContainer(cri: Cri, ctx: CallContext, object: ContainerObject): Promise<void> {
  const { id, record } = object;
  const metadata = decodeContainerMetadata(id, record.extensions.get(containerExtension));
  const root = containerRoot(cri.directories, id);
  const state = containerState(cri.directories, id);
  await Promise.all([root, state].map((directory) => mkdir(directory, { recursive: true, mode: 0o700 })));
  const stored = await readStatus(root);
  const container = new Container({
    metadata,
    root,
    snapshotter: record.snapshotter,
    user: userOf(await object.spec({ signal: ctx.signal, span: ctx.span, operation: ctx.operation })),
    status: stored ?? { ...unknownStatus, createdAt: nanosOf(record.createdAt) },
  });
  const io = containerIo(cri, metadata);
  container.io = io;
  cri.containerNames.reserve(metadata.name, id, "recovered");
  cri.specs.selinux.reserve(metadata.processLabel);
  cri.containers.add(container);
  try {
    await findTask(cri, ctx, object, container, io);
  } catch (error) {
    container.isUnknown = true;
    cri.log.warn({ container: id, err: messageOf(error) }, "state of a container not known");
  }
}

/** A container whose file is lost. */
const unknownStatus: StoredStatus = {
  pid: 0,
  createdAt: 0n,
  startedAt: 0n,
  finishedAt: 0n,
  exitCode: 255,
  reason: "Unknown",
  message: "",
  resources: undefined,
};

async function findTask(
  cri: Cri,
  ctx: CallContext,
  object: ContainerObject,
  container: Container,
  io: ContainerIo,
): Promise<void> {
  const { signal } = ctx;
  let task: Task;
  try {
    const { stdin } = container.metadata.config;
    task = await object.task({ signal, attach: { stdin, outputs: io.reader } });
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
    await ended(container);
    return;
  }
  const { state, exitCode, exitedAt } = await task.status({ signal });
  if (state === "created") {
    // The daemon ended between the making and the start.
    await task.delete({ kill: true, signal });
    await ended(container);
    return;
  }
  io.connect(task);
  if (state === "stopped" || state === "unknown") {
    await task.delete({ kill: true, signal });
    await io.ended;
    const finishedAt = exitedAt === undefined ? nowNanos() : BigInt(exitedAt.getTime()) * 1_000_000n;
    await container.update({ pid: 0, finishedAt, exitCode, reason: "" });
    return;
  }
  container.task = task;
  const startedAt = container.status.startedAt === 0n ? nowNanos() : container.status.startedAt;
  await container.update({ pid: task.pid, startedAt, finishedAt: 0n });
  watchExit(cri, container, task, await memoryCgroupOf(task.pid));
}

/** There is no task: what ran has ended, nobody knows how. */
async function ended(container: Container): Promise<void> {
  const { startedAt, finishedAt } = container.status;
  if (startedAt === 0n || finishedAt !== 0n) return;
  await container.update({ pid: 0, finishedAt: nowNanos(), exitCode: 255, reason: "Unknown" });
}
