/**
 * The runtime: tasks by namespace and id.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, isKind } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { Operation } from "@ctrd/core/operations";
import { describeOperation, inStage } from "@ctrd/core/operations";
import type { Any } from "@ctrd/core/records";
import type { CreateTaskOptions, RuntimeInfo, TaskExit, TaskRuntime } from "@ctrd/core/tasks";
import { createTask } from "./create-task.ts";
import { cleanUpDeadShim, publishLost, removeBundle } from "./dead-shim.ts";
import type { RuntimeDirs } from "./layout.ts";
import type { ShimManager } from "./manager.ts";
import { restoreShims } from "./restore.ts";
import { runtimeInfo } from "./shim-binary.ts";
import type { ShimParts } from "./shim.ts";
import { Shim } from "./shim.ts";
import { StartGates } from "./start-gates.ts";
import { ShimTask, taskNotFound } from "./task.ts";
import { isClosed } from "./task-client.ts";

/** Runs tasks in shims. */
export class ShimRuntime implements TaskRuntime {
  readonly #manager: ShimManager;
  readonly #dirs: RuntimeDirs;
  readonly #gates: StartGates = new StartGates();
  readonly #tasks: Map<string, ShimTask> = new Map();
  readonly #creating: Map<string, Promise<ShimTask>> = new Map();
  /** Who creates them. */
  readonly #creators: Map<string, Operation> = new Map();
  /** Removals in progress; a task of the same id is made after them. */
  readonly #removing: Map<string, Promise<unknown>> = new Map();

  constructor(manager: ShimManager, dirs: RuntimeDirs) {
    this.#manager = manager;
    this.#dirs = dirs;
  }

  /** Reconnects to the shims of the bundles and cleans up what is gone. To be called once, before anything else. */
  async restore(): Promise<void> {
    for await (const { parts, pid } of restoreShims(this.#manager, this.#dirs)) this.#add(parts, pid);
  }

  async create(ctx: CallContext, id: string, options: CreateTaskOptions): Promise<ShimTask> {
    const key = keyOf(requireNamespace(ctx), id);
    checkIdentifier("task id", id);
    if (this.#tasks.has(key) || this.#creating.has(key)) throw this.#exists(key, id);
    const creating = this.#create(ctx, key, id, options);
    this.#creating.set(key, creating);
    if (ctx.operation !== undefined) this.#creators.set(key, ctx.operation);
    try {
      return await creating;
    } finally {
      this.#creating.delete(key);
      this.#creators.delete(key);
    }
  }

  #exists(key: string, id: string): Error {
    const creator = this.#creators.get(key);
    const being = creator === undefined ? "" : ` is being created: ${describeOperation(creator)}`;
    return alreadyExists(`task ${id}${being}`);
  }

  async #create(ctx: CallContext, key: string, id: string, options: CreateTaskOptions): Promise<ShimTask> {
    const removing = this.#removing.get(key);
    if (removing !== undefined) await inStage(ctx, "wait for the removal of the task before", () => removing);
    const { parts, pid } = await createTask(ctx, this.#manager, this.#dirs, id, options);
    return this.#add(parts, pid);
  }

  async get(ctx: CallContext, id: string): Promise<ShimTask> {
    const key = keyOf(requireNamespace(ctx), id);
    const task = this.#tasks.get(key) ?? (await this.#created(ctx, key));
    if (task === undefined) throw taskNotFound(id);
    return task;
  }

  /** A subscriber may learn of a task from its shim's event before Create has returned here. */
  async #created(ctx: CallContext, key: string): Promise<ShimTask | undefined> {
    const creating = this.#creating.get(key);
    if (creating === undefined) return undefined;
    try {
      const waitsFor = this.#creators.get(key);
      return await inStage(ctx, "wait until the task is created", () => creating, { waitsFor });
    } catch {
      // Whoever creates it gets the error; for others the task never was.
      return undefined;
    }
  }

  list(ctx: CallContext, all: boolean): Promise<ShimTask[]> {
    const tasks = [...this.#tasks.values()];
    if (all) return Promise.resolve(tasks);
    const namespace = requireNamespace(ctx);
    return Promise.resolve(tasks.filter((task) => task.namespace === namespace));
  }

  async delete(ctx: CallContext, id: string): Promise<TaskExit> {
    const task = await this.get(ctx, id);
    let exit: TaskExit;
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.delete");
    try {
      exit = await task.shim.client.call("delete", { id, execId: "" }, ctx);
    } catch (error) {
      // A lost shim has been, or is being, cleaned up with everything it ran.
      if (isClosed(error) && task.lost !== undefined) return task.lost;
      // The shim knows nothing of the task: what is here of it must go too.
      if (isKind(error, "not-found")) await this.#remove(task);
      throw error;
    }
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.deleted");
    await inStage(ctx, "end the shim", () => this.#remove(task));
    return exit;
  }

  async info(ctx: CallContext, request: { runtimePath: string; options: Any | undefined }): Promise<RuntimeInfo> {
    const path = await this.#manager.lookup.path(request.runtimePath);
    return runtimeInfo(path, request.options, ctx.signal);
  }

  /** Disconnects from every shim; tasks go on. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#creating.values(), ...this.#removing.values()]);
    for (const task of this.#tasks.values()) task.shim.disconnect();
    this.#tasks.clear();
  }

  #add(parts: ShimParts, pid: number): ShimTask {
    const shim: Shim = new Shim(parts, () => {
      task.lost = this.#cleanUpLost(task);
    });
    const task: ShimTask = new ShimTask(shim, pid, this.#gates);
    this.#tasks.set(keyOf(task.namespace, task.id), task);
    return task;
  }

  /** Forgets a task that its shim has deleted, and removes shim and bundle. */
  #remove(task: ShimTask): Promise<void> {
    const { shim } = task;
    const key = keyOf(task.namespace, task.id);
    if (this.#tasks.get(key) !== task) return Promise.resolve();
    this.#tasks.delete(key);
    return this.#removal(key, async () => {
      await shim.shutdown(!this.#isShared(shim), this.#manager.timeouts.shutdown, this.#manager.log);
      await removeBundle(this.#manager, shim.bundle);
    });
  }

  #cleanUpLost(task: ShimTask): Promise<TaskExit> {
    const key = keyOf(task.namespace, task.id);
    const { bundle, binary } = task.shim;
    this.#manager.log.warn({ task: task.id, namespace: task.namespace }, "shim disconnected");
    return this.#removal(key, async () => {
      const exit = await cleanUpDeadShim(this.#manager, bundle, binary, task.pid);
      if (this.#tasks.get(key) !== task) return exit;
      await publishLost(this.#manager, bundle, exit);
      this.#tasks.delete(key);
      return exit;
    });
  }

  async #removal<T>(key: string, remove: () => Promise<T>): Promise<T> {
    const removing = remove();
    this.#removing.set(key, removing);
    try {
      return await removing;
    } finally {
      if (this.#removing.get(key) === removing) this.#removing.delete(key);
    }
  }

  /** Whether another task uses the same shim process. */
  #isShared(shim: Shim): boolean {
    for (const task of this.#tasks.values()) {
      if (task.shim !== shim && task.shim.endpoint.address === shim.endpoint.address) return true;
    }
    return false;
  }
}

function keyOf(namespace: string, id: string): string {
  return `${namespace}/${id}`;
}

/** Makes the directories and reconnects to the shims that are there. */
export async function openRuntime(manager: ShimManager, dirs: RuntimeDirs): Promise<ShimRuntime> {
  for (const directory of [dirs.root, dirs.state]) await mkdir(directory, { recursive: true, mode: 0o711 });
  const runtime = new ShimRuntime(manager, dirs);
  await runtime.restore();
  return runtime;
}
