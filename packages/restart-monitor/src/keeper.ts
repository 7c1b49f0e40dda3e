/**
 * Keeps one container as its labels want it.
 *
 * @module
 */
import type { Container, ContainerStore } from "@ctrd/core/containers";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { isKind, kindOf, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Operations } from "@ctrd/core/operations";
import { asOperation } from "@ctrd/core/operations";
import type { Mount } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import type { TaskProcess, TaskService } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { Backoff } from "./backoff.ts";
import type { Decision } from "./policy.ts";
import { decide, isExplicitlyStopped, RestartLabel } from "./policy.ts";
import { deleteTask, endTask, killTask, rootfsOf, startTask, taskOf } from "./task-starter.ts";

/** What keepers work with. */
export interface KeeperParts {
  readonly containers: ContainerStore;
  readonly tasks: TaskService;
  readonly snapshotters: SnapshotterLookup;
  /** Where looks are listed while they are under way. */
  readonly operations?: Operations | undefined;
}

/** What all keepers of a monitor share. */
export interface KeeperSettings {
  readonly log: Logger;
  /** Aborts when the monitor stops. */
  readonly signal: AbortSignal;
  /** When the monitor was started, in milliseconds since the epoch. */
  readonly startedAt: number;
  /** Until when others may be about to start a new container, in milliseconds. */
  intervalMs: number;
}

/**
 * Why a container is looked at: the first time, regularly, because its task has ended or could not be started, or
 * because its labels have changed.
 */
export type LookReason = "first" | "pass" | "exit" | "update";

/** After a signal of a client the end of a task was wanted: who sent it may be about to delete or start it. */
const wantedEndMs = 60_000;
/** Who changed labels may be about to start the container. */
const updateDelayMs = 1_000;
/** A look during a look is put off. */
const busyDelayMs = 20;
/** No look takes longer, so that a shim that hangs keeps nobody else. */
const lookLimitMs = 120_000;

type Start = Extract<Decision, { action: "start" }>;

/** Looks after one container. Two looks are never under way at a time. */
export class Keeper {
  readonly #parts: KeeperParts;
  readonly #settings: KeeperSettings;
  readonly #namespace: string;
  readonly #id: string;
  readonly #log: Logger;
  readonly #backoff = new Backoff();
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastExit: number | undefined;
  #killedAt = -Infinity;
  /** Pid of a task that was made and not started when it was seen last. */
  #createdPid = 0;
  #reported = "";

  constructor(parts: KeeperParts, settings: KeeperSettings, namespace: string, id: string) {
    [this.#parts, this.#settings, this.#namespace, this.#id] = [parts, settings, namespace, id];
    this.#log = settings.log.child({ namespace, container: id });
  }

  /** A client has sent a signal to the init process. */
  killed(): void {
    this.#killedAt = performance.now();
  }

  /** The init process has ended. */
  ended(exitStatus: number): void {
    this.#lastExit = exitStatus;
    const now = performance.now();
    const wanted = now - this.#killedAt < wantedEndMs;
    this.#killedAt = -Infinity;
    // The next pass sees to it, as with containerd, when whoever wanted it has had time for what comes next.
    if (!wanted) this.#lookIn(this.#backoff.ended(now), "exit");
  }

  /** Labels of the container were changed. */
  updated(labels: ReadonlyMap<string, string>): void {
    if (this.#looking === undefined && this.#timer === undefined && labels.get(RestartLabel.status) === "running") {
      this.#lookIn(updateDelayMs, "update");
    }
  }

  /** Looks, unless that is under way or has to wait. */
  async look(reason: LookReason): Promise<void> {
    if (this.#looking !== undefined || this.#timer !== undefined || this.#backoff.isWaiting(performance.now())) return;
    await this.#look(reason);
  }

  /** Looks no more. Resolves when the last look has ended. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #lookIn(delayMs: number, reason: LookReason): void {
    clearTimeout(this.#timer);
    if (this.#settings.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#looking === undefined) void this.#look(reason);
      else this.#lookIn(busyDelayMs, reason);
    }, delayMs);
  }

  async #look(reason: LookReason): Promise<void> {
    const signal = AbortSignal.any([this.#settings.signal, AbortSignal.timeout(lookLimitMs)]);
    const ctx = createContext({ namespace: this.#namespace, signal, log: this.#log });
    const look = {
      ...{ name: "restart policy", namespace: this.#namespace, caller: "the restart monitor" },
      object: { kind: "container", id: this.#id },
    };
    const looking = asOperation(this.#parts.operations, ctx, look, (inner) => this.#reconcile(inner, reason));
    this.#looking = looking.catch((error: unknown) => this.#failed(error));
    await this.#looking;
    this.#looking = undefined;
  }

  async #reconcile(ctx: CallContext, reason: LookReason): Promise<void> {
    const container = await this.#container(ctx);
    if (container === undefined || !container.labels.has(RestartLabel.status)) return;
    const task = await taskOf(this.#parts.tasks, ctx, this.#id);
    if (this.#isSomebodyElses(container, task, reason)) return;
    const isStale = task?.status === TaskStatus.Created;
    const decision = decide(container.labels, {
      task: isStale ? { status: TaskStatus.Stopped, exitStatus: 0 } : task,
      ...(this.#lastExit === undefined ? {} : { lastExit: this.#lastExit }),
      atDaemonStart: reason === "first",
    });
    if (decision.action === "stop") {
      await endTask(this.#parts.tasks, ctx, this.#id);
      this.#log.info({}, "stopped a container");
    } else if (decision.action === "start") {
      await this.#start(ctx, container, task, decision);
    } else if ("problem" in decision) {
      this.#report({ problem: decision.problem }, "cannot restart a container");
    }
  }

  async #container(ctx: CallContext): Promise<Container | undefined> {
    try {
      return await this.#parts.containers.get(ctx, this.#id);
    } catch (error) {
      if (isKind(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** Whether somebody is likely to be about to start the container. */
  #isSomebodyElses({ createdAt }: Container, task: TaskProcess | undefined, reason: LookReason): boolean {
    // Clients did not outlive the daemon's start with what they had begun.
    if (reason === "first" && millisFromTimestamp(createdAt) < this.#settings.startedAt) return false;
    if (task === undefined) {
      const age = Date.now() - millisFromTimestamp(createdAt);
      return reason === "update" || (this.#lastExit === undefined && age < this.#settings.intervalMs);
    }
    if (task.status !== TaskStatus.Created) {
      this.#createdPid = 0;
      return false;
    }
    // Left by whoever has died in between, if it is still so at the next pass.
    const isStale = this.#createdPid === task.pid;
    if (reason !== "exit" && reason !== "update") this.#createdPid = task.pid;
    return !isStale;
  }

  async #start(ctx: CallContext, container: Container, old: TaskProcess | undefined, decision: Start): Promise<void> {
    const { containers, tasks } = this.#parts;
    const rootfs = await this.#rootfs(ctx, container);
    if (rootfs === undefined) return;
    const { policy, count } = decision;
    const exitStatus = old?.exitStatus ?? this.#lastExit;
    try {
      if (old?.status === TaskStatus.Created) await endTask(tasks, ctx, this.#id);
      else if (old !== undefined) await deleteTask(tasks, ctx, this.#id);
      const labels = new Map<string, string>([[RestartLabel.count, String(count)]]);
      if (isExplicitlyStopped(container.labels)) labels.set(RestartLabel.explicitlyStopped, "false");
      const paths = [...labels.keys()].map((key) => `labels.${key}`);
      const updated = await containers.update(ctx, { ...container, labels }, paths);
      this.#backoff.started(performance.now());
      await startTask(tasks, ctx, updated, rootfs);
      if (await this.#endUnwanted(ctx)) return;
    } catch (error) {
      if (isKind(error, "already-exists")) return this.#log.debug({}, "somebody else has started the container");
      if (!this.#settings.signal.aborted) this.#lookIn(this.#backoff.ended(performance.now()), "exit");
      throw error;
    }
    this.#backoff.started(performance.now());
    [this.#lastExit, this.#killedAt, this.#createdPid, this.#reported] = [undefined, -Infinity, 0, ""];
    this.#log.info({ policy, count, ...(exitStatus === undefined ? {} : { exitStatus }) }, "restarted a container");
  }

  /** Ends the task again when the container was stopped or removed while it was made. */
  async #endUnwanted(ctx: CallContext): Promise<boolean> {
    const container = await this.#container(ctx);
    if (container !== undefined && !isExplicitlyStopped(container.labels)) return false;
    // Of a container that is there it tells how it has ended.
    await (container === undefined ? endTask : killTask)(this.#parts.tasks, ctx, this.#id);
    return true;
  }

  /** What the container's root file system is made of; undefined when that is gone, which no retry brings back. */
  async #rootfs(ctx: CallContext, container: Container): Promise<Mount[] | undefined> {
    try {
      return await rootfsOf(this.#parts.snapshotters, ctx, container);
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
      const { image } = container;
      this.#report({ err: messageOf(error), image }, "a container is left alone: its root file system is gone");
      return undefined;
    }
  }

  #failed(error: unknown): void {
    if (this.#settings.signal.aborted) return;
    // Removed in between.
    if (kindOf(error) === "not-found" && messageOf(error).startsWith("container ")) return;
    this.#report({ err: messageOf(error) }, "cannot restart a container, trying again");
  }

  /** Says something once. */
  #report(fields: Record<string, unknown>, message: string): void {
    const text = JSON.stringify([message, fields]);
    this.#log[text === this.#reported ? "debug" : "warn"](fields, message);
    this.#reported = text;
  }
}
