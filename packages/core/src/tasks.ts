/**
 * Tasks: running containers. `TaskRuntime` is what a runtime plugin implements; `TaskService` is what clients use.
 *
 * An empty `execId` addresses the init process of the task.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any, Descriptor, Labels, Mount, Timestamp } from "./records.ts";

export const RuntimePlugin: PluginType<TaskRuntime> = pluginType("io.containerd.runtime.v2");

/** States of a process, with their numbers on the wire. */
export const TaskStatus = { Unknown: 0, Created: 1, Running: 2, Stopped: 3, Paused: 4, Pausing: 5 } as const;
export type TaskStatus = (typeof TaskStatus)[keyof typeof TaskStatus];

/** A process of a task. For the init process `id` is empty in answers of a runtime. */
export interface TaskProcess {
  containerId: string;
  id: string;
  pid: number;
  status: TaskStatus;
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  exitStatus: number;
  exitedAt: Timestamp | undefined;
}

/** A pid inside a task; `info` is runtime specific. */
export interface TaskProcessInfo {
  pid: number;
  info: Any | undefined;
}

/** How a process ended. */
export interface TaskExit {
  pid: number;
  exitStatus: number;
  exitedAt: Timestamp | undefined;
}

/** FIFO paths or URIs of a process's streams; empty = none. */
export interface TaskStdio {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

/** What a runtime needs to create a task. */
export interface CreateTaskOptions {
  /** OCI spec, JSON in an Any. */
  spec: Any;
  rootfs: readonly Mount[];
  io: TaskStdio;
  /** Directory of a checkpoint to restore from. */
  checkpoint?: string;
  /** Runtime name or absolute path of a shim binary. */
  runtime: string;
  /** Options of the container record. */
  runtimeOptions?: Any;
  /** Options of this task; they win over `runtimeOptions`. */
  taskOptions?: Any;
  /** Sandbox the container joins. */
  sandboxId?: string;
  /** Task API endpoint of the sandbox, `<protocol>+<address>`. */
  taskApiAddress?: string;
  taskApiVersion?: number;
}

export interface ExecOptions {
  /** OCI process, JSON in an Any. */
  spec: Any;
  io: TaskStdio;
}

/** A running (or created, or stopped) task. */
export interface Task {
  readonly id: string;
  readonly namespace: string;
  readonly pid: number;
  state(ctx: CallContext, execId: string): Promise<TaskProcess>;
  /** @returns the pid */
  start(ctx: CallContext, execId: string): Promise<number>;
  exec(ctx: CallContext, execId: string, options: ExecOptions): Promise<void>;
  /** Deletes a stopped exec. The task itself is deleted through the runtime. */
  deleteProcess(ctx: CallContext, execId: string): Promise<TaskExit>;
  kill(ctx: CallContext, execId: string, signal: number, all: boolean): Promise<void>;
  pause(ctx: CallContext): Promise<void>;
  resume(ctx: CallContext): Promise<void>;
  resizePty(ctx: CallContext, execId: string, width: number, height: number): Promise<void>;
  closeIo(ctx: CallContext, execId: string, stdin: boolean): Promise<void>;
  pids(ctx: CallContext): Promise<TaskProcessInfo[]>;
  /** Writes a checkpoint into the directory `path`. */
  checkpoint(ctx: CallContext, path: string, options: Any | undefined): Promise<void>;
  update(ctx: CallContext, resources: Any | undefined, annotations: Labels): Promise<void>;
  stats(ctx: CallContext): Promise<Any | undefined>;
  /** Resolves when the process has exited. */
  wait(ctx: CallContext, execId: string): Promise<TaskExit>;
}

/** Version and features of a runtime. */
export interface RuntimeInfo {
  name: string;
  version: { version: string; revision: string } | undefined;
  options: Any | undefined;
  features: Any | undefined;
  annotations: Map<string, string>;
}

/** A runtime: makes tasks. */
export interface TaskRuntime {
  /** @throws `already-exists`, `not-found` when the shim binary is missing, `invalid-argument` */
  create(ctx: CallContext, id: string, options: CreateTaskOptions): Promise<Task>;
  /** @throws `not-found` with the text `task <id> not found` */
  get(ctx: CallContext, id: string): Promise<Task>;
  /** Tasks of the namespace, or of every namespace with `all`. */
  list(ctx: CallContext, all: boolean): Promise<Task[]>;
  /** Deletes a stopped task with its bundle and shim. */
  delete(ctx: CallContext, id: string): Promise<TaskExit>;
  /** Asks the shim binary about the runtime. */
  info(ctx: CallContext, request: { runtimePath: string; options: Any | undefined }): Promise<RuntimeInfo>;
}

// ---- the Tasks service -------------------------------------------------------------------------------------------

export interface CreateTaskRequest {
  containerId: string;
  rootfs: Mount[];
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  checkpoint: Descriptor | undefined;
  options: Any | undefined;
  runtimePath: string;
  taskApiAddress: string;
  taskApiVersion: number;
}

export interface ProcessRef {
  containerId: string;
  execId: string;
}

export interface ExecProcessRequest extends ProcessRef {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  spec: Any | undefined;
}

export interface TaskMetric {
  timestamp: Timestamp | undefined;
  id: string;
  data: Any | undefined;
}

/** Answer of the deletes. */
export interface DeletedProcess extends TaskExit {
  id: string;
}

/** Tasks as clients see them; one method for each of the Tasks service. */
export interface TaskService {
  create(ctx: CallContext, request: CreateTaskRequest): Promise<{ containerId: string; pid: number }>;
  start(ctx: CallContext, request: ProcessRef): Promise<{ pid: number }>;
  delete(ctx: CallContext, request: { containerId: string }): Promise<DeletedProcess>;
  deleteProcess(ctx: CallContext, request: ProcessRef): Promise<DeletedProcess>;
  get(ctx: CallContext, request: ProcessRef): Promise<{ process: TaskProcess | undefined }>;
  list(ctx: CallContext, request: { filter: string }): Promise<{ tasks: TaskProcess[] }>;
  kill(ctx: CallContext, request: ProcessRef & { signal: number; all: boolean }): Promise<void>;
  exec(ctx: CallContext, request: ExecProcessRequest): Promise<void>;
  resizePty(ctx: CallContext, request: ProcessRef & { width: number; height: number }): Promise<void>;
  closeIo(ctx: CallContext, request: ProcessRef & { stdin: boolean }): Promise<void>;
  pause(ctx: CallContext, request: { containerId: string }): Promise<void>;
  resume(ctx: CallContext, request: { containerId: string }): Promise<void>;
  listPids(ctx: CallContext, request: { containerId: string }): Promise<{ processes: TaskProcessInfo[] }>;
  checkpoint(
    ctx: CallContext,
    request: { containerId: string; parentCheckpoint: string; options: Any | undefined },
  ): Promise<{ descriptors: Descriptor[] }>;
  update(
    ctx: CallContext,
    request: { containerId: string; resources: Any | undefined; annotations: Labels },
  ): Promise<void>;
  metrics(ctx: CallContext, request: { filters: string[] }): Promise<{ metrics: TaskMetric[] }>;
  wait(ctx: CallContext, request: ProcessRef): Promise<{ exitStatus: number; exitedAt: Timestamp | undefined }>;
}

/** The daemon's own Tasks service, which also tells plugins in its process what clients ask for. */
export interface ObservableTaskService extends TaskService {
  /**
   * Calls `listener` when a client sends a signal to an init process, just before it is sent: an end of the process
   * that follows was wanted.
   *
   * @returns ends the calls
   */
  onKill(listener: (namespace: string, containerId: string) => void): () => void;
}
