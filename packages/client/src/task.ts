/**
 * Tasks: containers that were created or run.
 *
 * @module
 */
import { CheckpointOptions } from "@ctrd/api/types/runc/options/oci";
import { notFound } from "@ctrd/core/errors";
import type { Any, Descriptor, Timestamp } from "@ctrd/core/records";
import type { DeletedProcess, TaskProcess, TaskProcessInfo } from "@ctrd/core/tasks";
import { linuxResourcesTypeUrl, processTypeUrl, protoAny } from "@ctrd/core/typeurl";
import type { Process as ProcessSpec, Resources } from "@ctrd/oci";
import { encodeSpec } from "@ctrd/oci";
import type { Client } from "./client.ts";
import type { IoCreator, ProcessIo } from "./io/process-io.ts";
import { streams } from "./io/streams.ts";
import type { Abortable, LabelValues } from "./options.ts";
import { labelsOf } from "./options.ts";
import type { ProcessState } from "./process.ts";
import { ContainerProcess, statusOf } from "./process.ts";

/** Options of {@link Task.exec}. */
export interface ExecOptions extends Abortable {
  /** The process; what is absent is taken from the container's own. */
  readonly process: Partial<ProcessSpec>;
  /** Its streams; by default stdout and stderr are readable. */
  readonly io?: IoCreator;
}

/** Options of {@link Task.checkpoint}. */
export interface CheckpointTaskOptions extends Abortable {
  /** End the task. */
  readonly exit?: boolean;
  /** Directory of the daemon's machine for the image; it is stored as content when absent. */
  readonly imagePath?: string;
  /** Directory of the daemon's machine for what CRIU says meanwhile; a temporary one when absent. */
  readonly workPath?: string;
}

/** Options of {@link Task.update}. */
export interface UpdateTaskOptions extends Abortable {
  /** Resources as the OCI runtime specification has them. */
  readonly resources?: object;
  readonly annotations?: LabelValues;
}

/** Numbers of a task; `data` is a message of `io.containerd.cgroups.v1` or `.v2`. */
export interface TaskMetrics {
  readonly timestamp: Timestamp | undefined;
  readonly data: Any | undefined;
}

/** A process that was added to a task. Disposing kills and deletes it. */
export class ExecProcess extends ContainerProcess {
  /** @internal */
  constructor(client: Client, containerId: string, execId: string, io: ProcessIo) {
    super(client, { containerId, execId }, io, 0, false);
  }

  protected override remove(options: Abortable): Promise<DeletedProcess> {
    return this.client.services.taskService.deleteProcess(this.client.context(options), this.ref);
  }
}

/** The task of a container. Disposing kills and deletes it. */
export class Task extends ContainerProcess {
  readonly #process: () => Promise<ProcessSpec>;

  /** @internal */
  constructor(
    client: Client,
    containerId: string,
    io: ProcessIo,
    found: { pid: number; isStarted: boolean },
    process: () => Promise<ProcessSpec>,
  ) {
    super(client, { containerId, execId: "" }, io, found.pid, found.isStarted);
    this.#process = process;
  }

  async pause(options: Abortable = {}): Promise<void> {
    const { containerId } = this;
    await this.client.services.taskService.pause(this.client.context(options), { containerId });
  }

  async resume(options: Abortable = {}): Promise<void> {
    const { containerId } = this;
    await this.client.services.taskService.resume(this.client.context(options), { containerId });
  }

  /** Processes of the container, as the daemon's machine sees them. */
  async pids(options: Abortable = {}): Promise<TaskProcessInfo[]> {
    const { containerId } = this;
    return (await this.client.services.taskService.listPids(this.client.context(options), { containerId })).processes;
  }

  /** Adds a process, which is then to be started. */
  async exec(execId: string, options: ExecOptions): Promise<ExecProcess> {
    const ctx = this.client.context(options);
    const terminal = options.process.terminal ?? false;
    const spec = { ...(await this.#process()), terminal, ...options.process };
    const create = options.io ?? streams({ terminal });
    const io = await create({ id: execId, fifoDirectory: this.client.fifoDirectory, log: this.client.log });
    try {
      await this.client.services.taskService.exec(ctx, {
        containerId: this.containerId,
        execId,
        ...io.stdio,
        spec: { typeUrl: processTypeUrl, value: encodeSpec({ ...spec, terminal: io.stdio.terminal }) },
      });
    } catch (error) {
      await io.close();
      throw error;
    }
    return new ExecProcess(this.client, this.containerId, execId, io);
  }

  /** @throws ContainerdError `not-found` when the runtime tells none */
  async metrics(options: Abortable = {}): Promise<TaskMetrics> {
    const request = { filters: [`id==${this.containerId}`] };
    const { metrics } = await this.client.services.taskService.metrics(this.client.context(options), request);
    const [own] = metrics;
    if (own === undefined) throw notFound(`metrics of ${this.what}`);
    return { timestamp: own.timestamp, data: own.data };
  }

  /** Changes limits of a running task. */
  async update(options: UpdateTaskOptions): Promise<void> {
    const { resources } = options;
    await this.client.services.taskService.update(this.client.context(options), {
      containerId: this.containerId,
      resources:
        resources === undefined
          ? undefined
          : { typeUrl: linuxResourcesTypeUrl, value: encodeSpec(resources as Resources) },
      annotations: labelsOf(options.annotations),
    });
  }

  /**
   * Writes the state of the processes down, with CRIU. The descriptors are content that nothing references yet: call it
   * with a lease.
   *
   * @returns the descriptors to restore from; none when `imagePath` is given
   */
  async checkpoint(options: CheckpointTaskOptions = {}): Promise<Descriptor[]> {
    const { exit = false, imagePath = "", workPath = "" } = options;
    const value = CheckpointOptions.encode(CheckpointOptions.fromPartial({ exit, imagePath, workPath })).finish();
    const { descriptors } = await this.client.services.taskService.checkpoint(this.client.context(options), {
      containerId: this.containerId,
      parentCheckpoint: "",
      options: protoAny("containerd.runc.v1.CheckpointOptions", value),
    });
    return descriptors;
  }

  protected override remove(options: Abortable): Promise<DeletedProcess> {
    const { containerId } = this;
    return this.client.services.taskService.delete(this.client.context(options), { containerId });
  }
}

/** A task as a list shows it. */
export interface ListedTask {
  readonly id: string;
  readonly pid: number;
  readonly state: ProcessState;
}

/** What a list shows of a task. */
export function listedTask(process: TaskProcess): ListedTask {
  const { state, pid } = statusOf(process);
  // containerd tells the id of the container in `id`.
  return { id: process.containerId || process.id, pid, state };
}
