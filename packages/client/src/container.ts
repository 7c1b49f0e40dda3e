/**
 * Containers: what tasks are made from.
 *
 * @module
 */
import type { Container as ContainerRecord } from "@ctrd/core/containers";
import { failedPrecondition, isKind, notFound } from "@ctrd/core/errors";
import type { Any, Descriptor, Mount } from "@ctrd/core/records";
import { specTypeUrl, typeName } from "@ctrd/core/typeurl";
import { commitSnapshot } from "@ctrd/images";
import type { Process as ProcessSpec, Spec } from "@ctrd/oci";
import { decodeSpec, encodeSpec } from "@ctrd/oci";
import type { Client } from "./client.ts";
import { unlessGone } from "./errors.ts";
import type { Image } from "./image.ts";
import type { IoCreator, ProcessIo } from "./io/process-io.ts";
import { unpipedIo } from "./io/process-io.ts";
import type { StreamOptions } from "./io/streams.ts";
import { attachStreams, streams } from "./io/streams.ts";
import type { Abortable, LabelValues } from "./options.ts";
import { labelsOf } from "./options.ts";
import { Task } from "./task.ts";

/** Options of {@link Container.newTask}. */
export interface NewTaskOptions extends Abortable {
  /** Its streams; by default stdout and stderr are readable, and there is a terminal when the spec has one. */
  readonly io?: IoCreator;
  /** Mounts of the root file system in place of those of the container's snapshot. */
  readonly rootfs?: readonly Mount[];
  /** Options of the runtime for this task; they win over the container's. */
  readonly runtimeOptions?: Any;
  /** A checkpoint to go on from. */
  readonly checkpoint?: Descriptor;
  /** Where its sandbox serves tasks (`<protocol>+<address>`; empty: the runtime finds out), and in which version. */
  readonly taskApi?: { readonly address: string; readonly version: number };
}

/** Options of {@link Container.task}. */
export interface FindTaskOptions extends Abortable {
  /** Connects to the streams that the task was made with; not connected when absent. */
  readonly attach?: StreamOptions;
}

/** Options of {@link Container.delete}. */
export interface DeleteContainerOptions extends Abortable {
  /** Kills and deletes its task as well. */
  readonly kill?: boolean;
  /** Removes its snapshot as well. */
  readonly snapshot?: boolean;
}

/** Options of {@link Container.commit}. */
export interface CommitContainerOptions extends Abortable {
  /** Whether its task is paused meanwhile, which it is unless this is false. */
  readonly pause?: boolean;
  readonly author?: string;
  readonly message?: string;
  /** Changes the execution parameters (`Cmd`, `Env` …) of the new image. */
  readonly configure?: (config: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  /** Labels of the new image. */
  readonly labels?: LabelValues;
}

/** A container. Disposing deletes it with its task and its snapshot. */
export class Container implements AsyncDisposable {
  readonly #client: Client;
  #record: ContainerRecord;

  /** @internal */
  constructor(client: Client, record: ContainerRecord) {
    this.#client = client;
    this.#record = record;
  }

  get id(): string {
    return this.#record.id;
  }

  /** The record as it was last read. */
  get record(): Readonly<ContainerRecord> {
    return this.#record;
  }

  get labels(): ReadonlyMap<string, string> {
    return this.#record.labels;
  }

  /** Reads the record anew. */
  async info(options: Abortable = {}): Promise<Readonly<ContainerRecord>> {
    this.#record = await this.#client.services.containerService.get(this.#client.context(options), this.id);
    return this.#record;
  }

  /** The OCI spec. @throws ContainerdError `failed-precondition` when the record has none */
  async spec(options: Abortable = {}): Promise<Spec> {
    const { spec } = await this.info(options);
    if (spec === undefined || typeName(spec.typeUrl) !== typeName(specTypeUrl)) {
      throw failedPrecondition(`container "${this.id}" has no OCI spec`);
    }
    return decodeSpec(spec.value);
  }

  /** The image that it was made from. @throws ContainerdError `not-found` when it has none, or that is gone */
  async image(options: Abortable = {}): Promise<Image> {
    const { image } = await this.info(options);
    if (image === "") throw notFound(`image of container "${this.id}"`);
    return this.#client.getImage(image, options);
  }

  /** Sets labels; others stay. An empty value removes one. */
  async setLabels(labels: LabelValues, options: Abortable = {}): Promise<void> {
    const values = labelsOf(labels);
    await this.#update({ ...this.#record, labels: values }, [...values.keys()].map(pathOfLabel), options);
  }

  /** Replaces the spec; tasks made from now on have it. */
  async setSpec(spec: Spec, options: Abortable = {}): Promise<void> {
    const any: Any = { typeUrl: specTypeUrl, value: encodeSpec(spec) };
    await this.#update({ ...this.#record, spec: any }, ["spec"], options);
  }

  /** Sets an extension. */
  async setExtension(name: string, value: Any, options: Abortable = {}): Promise<void> {
    const extensions = new Map([[name, value]]);
    await this.#update({ ...this.#record, extensions }, [`extensions.${name}`], options);
  }

  async #update(record: ContainerRecord, mask: readonly string[], options: Abortable): Promise<void> {
    this.#record = await this.#client.services.containerService.update(this.#client.context(options), record, mask);
  }

  /** Creates the task, which is then to be started. */
  async newTask(options: NewTaskOptions = {}): Promise<Task> {
    const ctx = this.#client.context(options);
    const record = await this.info(options);
    const rootfs = options.rootfs ?? (await this.#rootfs(record, options));
    const terminal = (): Promise<boolean> => this.#hasTerminal(options);
    const create = options.io ?? streams({ terminal: await terminal() });
    const io = await create({ id: this.id, fifoDirectory: this.#client.fifoDirectory, log: this.#client.log });
    try {
      const { pid } = await this.#client.services.taskService.create(ctx, {
        containerId: this.id,
        rootfs: [...rootfs],
        ...io.stdio,
        checkpoint: options.checkpoint,
        options: options.runtimeOptions,
        runtimePath: "",
        taskApiAddress: options.taskApi?.address ?? "",
        taskApiVersion: options.taskApi?.version ?? 0,
      });
      return this.#task(io, { pid, isStarted: false });
    } catch (error) {
      await io.close();
      throw error;
    }
  }

  async #hasTerminal(options: Abortable): Promise<boolean> {
    if (this.#record.spec === undefined) return false;
    return (await this.spec(options)).process?.terminal ?? false;
  }

  async #rootfs({ snapshotter, snapshotKey }: ContainerRecord, options: Abortable): Promise<Mount[]> {
    if (snapshotKey === "") return [];
    return this.#client.snapshotter(snapshotter).mounts(this.#client.context(options), snapshotKey);
  }

  /** Its task. @throws ContainerdError `not-found` when it has none */
  async task(options: FindTaskOptions = {}): Promise<Task> {
    const request = { containerId: this.id, execId: "" };
    const { process } = await this.#client.services.taskService.get(this.#client.context(options), request);
    if (process === undefined) throw notFound(`task of container "${this.id}"`);
    const { pid, stdin, stdout, stderr, terminal } = process;
    const stdio = { stdin, stdout, stderr, terminal };
    const io =
      options.attach === undefined ? unpipedIo(stdio) : await attachStreams(stdio, options.attach, this.#client.log);
    return this.#task(io, { pid, isStarted: true });
  }

  #task(io: ProcessIo, found: { pid: number; isStarted: boolean }): Task {
    return new Task(this.#client, this.id, io, found, async (): Promise<ProcessSpec> => {
      const { process } = await this.spec();
      return process ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
    });
  }

  /**
   * Deletes the container.
   *
   * @throws ContainerdError `failed-precondition` when it has a task and `kill` is not set, `not-found`
   */
  async delete(options: DeleteContainerOptions = {}): Promise<void> {
    const ctx = this.#client.context(options);
    const { snapshotter, snapshotKey } = await this.info(options);
    await this.#deleteTask(options);
    if (options.snapshot === true && snapshotKey !== "") {
      await unlessGone(this.#client.snapshotter(snapshotter).remove(ctx, snapshotKey));
    }
    await this.#client.services.containerService.delete(ctx, this.id);
  }

  /**
   * Makes an image of the container: the layers of its own image, and what was written as one more.
   *
   * @throws ContainerdError `failed-precondition` when it has no snapshot, or one that does not stand on its image
   */
  async commit(name: string, options: CommitContainerOptions = {}): Promise<Image> {
    const { image, snapshotter, snapshotKey } = await this.info(options);
    if (snapshotKey === "") throw failedPrecondition(`commit container "${this.id}": it has no snapshot`);
    const base = image === "" ? undefined : await (await this.image(options)).manifest(options);
    const { signal: _signal, span: _span, pause: _pause, labels: _labels, ...rest } = options;
    const record = await this.#client.withLease(async (client) => {
      const ctx = client.context(options);
      const target = await this.#whilePaused(options, () =>
        commitSnapshot(ctx, {
          content: client.content,
          comparer: client.services.diffService,
          snapshotter: client.snapshotter(snapshotter),
          key: snapshotKey,
          ...(base === undefined ? {} : { base }),
          ...rest,
        }),
      );
      return (await client.createImage(name, target, options)).record;
    }, options);
    return this.#client.imageOf(record);
  }

  /** Runs `body`; a task that runs stands still meanwhile. */
  async #whilePaused<T>(options: CommitContainerOptions, body: () => Promise<T>): Promise<T> {
    const task = options.pause === false ? undefined : await this.#runningTask(options);
    await task?.pause(options);
    try {
      return await body();
    } finally {
      await task?.resume();
    }
  }

  async #runningTask(options: Abortable): Promise<Task | undefined> {
    try {
      const task = await this.task(options);
      return (await task.status(options)).state === "running" ? task : undefined;
    } catch (error) {
      if (isKind(error, "not-found")) return undefined;
      throw error;
    }
  }

  async #deleteTask(options: DeleteContainerOptions): Promise<void> {
    let task: Task;
    try {
      task = await this.task(options);
    } catch (error) {
      if (isKind(error, "not-found")) return;
      throw error;
    }
    if (options.kill !== true) {
      throw failedPrecondition(`delete container "${this.id}": it has a task; delete that first, or delete with kill`);
    }
    await unlessGone(task.delete({ ...options, kill: true }));
  }

  /** Deletes it with its task and its snapshot, unless it is gone already. */
  async [Symbol.asyncDispose](): Promise<void> {
    await unlessGone(this.delete({ kill: true, snapshot: true }));
  }
}

function pathOfLabel(key: string): string {
  return `labels.${key}`;
}
