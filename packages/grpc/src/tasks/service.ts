import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import type { ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import { alreadyExists, invalidArgument, isKind } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type {
  CreateTaskOptions,
  CreateTaskRequest,
  ExecProcessRequest,
  ObservableTaskService,
  ProcessRef,
  Task,
  TaskProcess,
  TaskRuntime,
  TaskService,
} from "@ctrd/core/tasks";
import { createCheckpoint, withRestoredCheckpoint } from "./checkpoint.ts";
import { KillListeners } from "./kill-listeners.ts";
import { collectMetrics } from "./metrics.ts";
import { processState } from "./process-state.ts";

/** What {@link tasksService} works with. */
export interface TasksServiceOptions {
  readonly runtime: TaskRuntime;
  readonly containers: ContainerStore;
  /** Where checkpoints are. */
  readonly content: ContentStore;
  /** How long a shim may take to tell a state, in milliseconds. */
  readonly stateTimeoutMs: number;
  /** How long a shim may take to tell its metrics, in milliseconds. */
  readonly statsTimeoutMs: number;
}

/** Tasks of containers: looks up what a container is made from, and lets the runtime do the rest. */
export function tasksService(options: TasksServiceOptions): ObservableTaskService {
  const { runtime, stateTimeoutMs } = options;
  const kills = new KillListeners();
  const task = (ctx: CallContext, id: string): Promise<Task> => {
    requireNamespace(ctx);
    if (id === "") throw invalidArgument("container id must not be empty");
    return runtime.get(ctx, id);
  };
  return {
    create: (ctx, request) => createTask(options, ctx, request),
    exec: async (ctx, request) => execProcess(await task(ctx, request.containerId), ctx, request),
    list: (ctx) => listTasks(options, ctx),
    metrics: (ctx, request) => collectMetrics(runtime, ctx, request.filters, options.statsTimeoutMs),
    async start(ctx, { containerId, execId }) {
      return { pid: await (await task(ctx, containerId)).start(ctx, execId) };
    },
    async delete(ctx, { containerId }) {
      await task(ctx, containerId);
      return { ...(await runtime.delete(ctx, containerId)), id: containerId };
    },
    async deleteProcess(ctx, { containerId, execId }) {
      if (execId === "") throw invalidArgument(`delete process of task "${containerId}": exec id must not be empty`);
      return { ...(await (await task(ctx, containerId)).deleteProcess(ctx, execId)), id: execId };
    },
    async get(ctx, { containerId, execId }) {
      return { process: await processState(ctx, await task(ctx, containerId), execId, stateTimeoutMs) };
    },
    async kill(ctx, { containerId, execId, signal, all }) {
      const killed = await task(ctx, containerId);
      if (execId === "") kills.tell(killed.namespace, containerId);
      await killed.kill(ctx, execId, signal, all);
    },
    onKill: (listener) => kills.add(listener),
    async resizePty(ctx, { containerId, execId, width, height }) {
      await (await task(ctx, containerId)).resizePty(ctx, execId, width, height);
    },
    async closeIo(ctx, { containerId, execId, stdin }) {
      await (await task(ctx, containerId)).closeIo(ctx, execId, stdin);
    },
    async pause(ctx, { containerId }) {
      await (await task(ctx, containerId)).pause(ctx);
    },
    async resume(ctx, { containerId }) {
      await (await task(ctx, containerId)).resume(ctx);
    },
    async listPids(ctx, { containerId }) {
      return { processes: await (await task(ctx, containerId)).pids(ctx) };
    },
    async checkpoint(ctx, { containerId, options: checkpointOptions }) {
      const running = await task(ctx, containerId);
      const container = await options.containers.get(ctx, containerId);
      return { descriptors: await createCheckpoint(options.content, ctx, running, container, checkpointOptions) };
    },
    async update(ctx, { containerId, resources, annotations }) {
      await (await task(ctx, containerId)).update(ctx, resources, annotations);
    },
    wait: (ctx, request) => waitProcess(task, ctx, request),
  };
}

async function createTask(
  options: TasksServiceOptions,
  ctx: CallContext,
  request: CreateTaskRequest,
): Promise<{ containerId: string; pid: number }> {
  requireNamespace(ctx);
  const { containerId } = request;
  const container = await options.containers.get(ctx, containerId);
  if (container.spec === undefined) throw invalidArgument(`container "${containerId}" has no spec`);
  const create: CreateTaskOptions = {
    spec: container.spec,
    rootfs: request.rootfs,
    io: { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal },
    runtime: request.runtimePath || (container.runtime?.name ?? ""),
  };
  if (create.runtime === "") throw invalidArgument(`container "${containerId}" names no runtime`);
  if (container.runtime?.options !== undefined) create.runtimeOptions = container.runtime.options;
  if (request.options !== undefined) create.taskOptions = request.options;
  if (container.sandbox !== "") create.sandboxId = container.sandbox;
  if (request.taskApiAddress !== "") {
    create.taskApiAddress = request.taskApiAddress;
    create.taskApiVersion = request.taskApiVersion;
  }
  await refuseExisting(options.runtime, ctx, containerId);
  const task = await withRestoredCheckpoint(options.content, ctx, request, (checkpoint) =>
    options.runtime.create(ctx, containerId, checkpoint === undefined ? create : { ...create, checkpoint }),
  );
  return { containerId, pid: task.pid };
}

/** Of one that is just being made the runtime tells more: `get` would wait for it. */
async function refuseExisting(runtime: TaskRuntime, ctx: CallContext, id: string): Promise<void> {
  const tasks = await runtime.list(ctx, false);
  if (tasks.some((task) => task.id === id)) throw alreadyExists(`task ${id}`);
}

async function execProcess(task: Task, ctx: CallContext, request: ExecProcessRequest): Promise<void> {
  const { execId, spec, stdin, stdout, stderr, terminal } = request;
  checkIdentifier("exec id", execId);
  if (spec === undefined) throw invalidArgument(`exec "${execId}" in task "${task.id}": spec must be set`);
  await task.exec(ctx, execId, { spec, io: { stdin, stdout, stderr, terminal } });
}

/** Asks every shim at once; one that is gone by then is left out. */
async function listTasks(options: TasksServiceOptions, ctx: CallContext): Promise<{ tasks: TaskProcess[] }> {
  requireNamespace(ctx);
  const tasks = await options.runtime.list(ctx, false);
  const states = await Promise.all(
    tasks.map(async (task) => {
      try {
        return await processState(ctx, task, "", options.stateTimeoutMs);
      } catch (error) {
        if (!isKind(error, "not-found")) ctx.log.error({ err: error, task: task.id }, "cannot list a task");
        return undefined;
      }
    }),
  );
  return { tasks: states.filter((state) => state !== undefined) };
}

async function waitProcess(
  task: (ctx: CallContext, id: string) => Promise<Task>,
  ctx: CallContext,
  { containerId, execId }: ProcessRef,
): ReturnType<TaskService["wait"]> {
  const { exitStatus, exitedAt } = await (await task(ctx, containerId)).wait(ctx, execId);
  return { exitStatus, exitedAt };
}
