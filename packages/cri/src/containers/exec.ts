/**
 * Programs in containers that run.
 *
 * @module
 */
import { join } from "node:path";
import type { ExecProcess, IoCreator, Task } from "@ctrd/client";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import { containerState } from "../sandboxes/layout.ts";
import type { Cri } from "../store/cri.ts";
import { newId } from "../store/ids.ts";
import type { Container } from "./container.ts";

/** What is to run. */
export interface ExecSettings {
  readonly cmd: readonly string[];
  readonly tty: boolean;
  readonly io: IoCreator;
}

/** The task of a container. @throws ContainerdError `failed-precondition` when it does not run */
export function runningTask({ id, state, task }: Container): Task {
  if (state === ContainerState.CONTAINER_RUNNING && task !== undefined) return task;
  const name = Object.entries(ContainerState).find(([, value]) => value === state)?.[0] ?? "";
  throw failedPrecondition(`container "${id}" is in ${name} state, not running`);
}

/** Makes a process in a container, which is then to be started. */
export async function makeExec(
  cri: Cri,
  ctx: CallContext,
  container: Container,
  { cmd, tty, io }: ExecSettings,
): Promise<ExecProcess> {
  const task = runningTask(container);
  if (cmd.length === 0) throw invalidArgument(`exec in container "${container.id}": cmd must not be empty`);
  const fifoDirectory = join(containerState(cri.directories, container.id), "io");
  return task.exec(newId(), {
    signal: ctx.signal,
    process: { args: [...cmd], terminal: tty, ...(tty ? { env: await terminalEnv(cri, ctx, container) } : {}) },
    io: (target) => io({ ...target, fifoDirectory }),
  });
}

/** The environment of the container with a terminal. */
async function terminalEnv(cri: Cri, ctx: CallContext, { id }: Container): Promise<string[]> {
  const record = await cri.client.loadContainer(id, { signal: ctx.signal, span: ctx.span, operation: ctx.operation });
  const { process } = await record.spec({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
  const env = (process?.env ?? []).filter((entry) => !entry.startsWith("TERM="));
  return [...env, "TERM=xterm"];
}
