/**
 * Processes in containers: what the init process of a task and one added to it have in common.
 *
 * @module
 */
import { failedPrecondition, isKind, kindOf, messageOf, notFound } from "@ctrd/core/errors";
import type { Timestamp } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { DeletedProcess, ProcessRef, TaskProcess } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import type { Readable, Writable } from "node:stream";
import type { Client } from "./client.ts";
import { unlessGone, untilAborted } from "./errors.ts";
import type { ProcessIo } from "./io/process-io.ts";
import type { Abortable } from "./options.ts";
import { signalNumber } from "./signals.ts";

/** Where a process is in its life. */
export type ProcessState = "unknown" | "created" | "running" | "stopped" | "paused" | "pausing";

/** State of a process. */
export interface ProcessStatus {
  readonly state: ProcessState;
  readonly pid: number;
  /** Of a stopped process; 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  readonly exitedAt: Date | undefined;
  readonly terminal: boolean;
}

/** How a process ended. */
export interface ProcessExit {
  /** 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  readonly exitedAt: Date | undefined;
}

/** Options of {@link ContainerProcess.kill}. */
export interface KillOptions extends Abortable {
  /** All processes of the container. */
  readonly all?: boolean;
}

/** Options of {@link ContainerProcess.delete}. */
export interface DeleteProcessOptions extends Abortable {
  /** Ends it with SIGKILL when it still runs. */
  readonly kill?: boolean;
}

const states: ReadonlyMap<TaskStatus, ProcessState> = new Map([
  [TaskStatus.Created, "created"],
  [TaskStatus.Running, "running"],
  [TaskStatus.Stopped, "stopped"],
  [TaskStatus.Paused, "paused"],
  [TaskStatus.Pausing, "pausing"],
]);

/** A process of a container. Disposing kills and deletes it. */
export abstract class ContainerProcess implements AsyncDisposable {
  /** Id of the container. */
  readonly containerId: string;
  /** Id of the exec; empty for the init process. */
  readonly execId: string;
  protected readonly client: Client;
  readonly #io: ProcessIo;
  #pid: number;
  #exit: Promise<ProcessExit> | undefined;
  #started: (() => void) | undefined;

  protected constructor(client: Client, ref: ProcessRef, io: ProcessIo, pid: number, isStarted: boolean) {
    [this.client, this.containerId, this.execId] = [client, ref.containerId, ref.execId];
    this.#io = io;
    this.#pid = pid;
    const started = new Promise<void>((resolve) => {
      this.#started = resolve;
    });
    if (isStarted) this.#started?.();
    // Before the start a shim may have no stdin yet that could be closed.
    void Promise.all([io.stdinEnded, started]).then(() => this.#closeStdin());
  }

  /** Of the process on the daemon's machine; 0 for an exec that was not started. */
  get pid(): number {
    return this.#pid;
  }

  /** Our end of stdin, when one was asked for. Ending it ends the stdin of the process. */
  get stdin(): Writable | undefined {
    return this.#io.stdin;
  }

  /** Our end of stdout, unless it goes elsewhere. */
  get stdout(): Readable | undefined {
    return this.#io.stdout;
  }

  /** Our end of stderr, unless it goes elsewhere or there is a terminal. */
  get stderr(): Readable | undefined {
    return this.#io.stderr;
  }

  /** Starts it. */
  async start(options: Abortable = {}): Promise<void> {
    const ctx = this.client.context(options);
    // From now on its end is waited for, so that it is known also when the process is gone before anybody asks.
    this.#watch();
    this.#pid = (await this.client.services.taskService.start(ctx, this.ref)).pid || this.#pid;
    this.#started?.();
  }

  /**
   * Resolves when the process has ended. It may be called before the start. Output may still be on its way then;
   * {@link output} resolves when all has come.
   */
  wait(options: Abortable = {}): Promise<ProcessExit> {
    return untilAborted(`wait for ${this.what}`, this.#watch(), this.client.context(options).signal);
  }

  /** Resolves when all output was read and handed on. A stream that nobody has begun to read is thrown away. */
  output(options: Abortable = {}): Promise<void> {
    return untilAborted(`output of ${this.what}`, this.#io.drained(), this.client.context(options).signal);
  }

  #watch(): Promise<ProcessExit> {
    if (this.#exit !== undefined) return this.#exit;
    const ctx = this.client.context();
    const exit = this.client.services.taskService.wait(ctx, this.ref).then(exitOf);
    // A wait that was broken off, by a daemon that was restarted for example, is tried again by who asks next.
    exit.catch(() => {
      if (this.#exit === exit) this.#exit = undefined;
    });
    this.#exit = exit;
    return exit;
  }

  /** Sends a signal. @throws ContainerdError `not-found` when it is gone */
  async kill(signal: string | number = "SIGTERM", options: KillOptions = {}): Promise<void> {
    const request = { ...this.ref, signal: signalNumber(signal), all: options.all ?? false };
    await this.client.services.taskService.kill(this.client.context(options), request);
  }

  /** Sets the size of its terminal, in characters. */
  async resize(width: number, height: number, options: Abortable = {}): Promise<void> {
    await this.client.services.taskService.resizePty(this.client.context(options), { ...this.ref, width, height });
  }

  /** Tells the shim to end stdin. Ending our own end of it does this by itself. */
  async closeIo(options: Abortable = {}): Promise<void> {
    await this.client.services.taskService.closeIo(this.client.context(options), { ...this.ref, stdin: true });
  }

  async status(options: Abortable = {}): Promise<ProcessStatus> {
    const { process } = await this.client.services.taskService.get(this.client.context(options), this.ref);
    if (process === undefined) throw notFound(`state of ${this.what}`);
    return statusOf(process);
  }

  /**
   * Deletes the process, which must have ended, once all output was taken.
   *
   * @throws ContainerdError `failed-precondition` when it has not ended and `kill` is not set, `not-found`
   */
  async delete(options: DeleteProcessOptions = {}): Promise<ProcessExit> {
    const ctx = this.client.context(options);
    await this.#endBeforeDelete(options);
    await untilAborted(`output of ${this.what}`, this.#outputOrQuiet(), ctx.signal);
    const exit = exitOf(await this.remove(options));
    this.#io.cancel();
    await untilAborted(`output of ${this.what}`, this.#io.drained(), ctx.signal);
    await this.#io.close();
    return exit;
  }

  /** A child that the process left behind may keep its streams open without writing: only the shim can end them then. */
  async #outputOrQuiet(): Promise<void> {
    this.#io.cancel();
    const looking = new AbortController();
    await Promise.race([this.#io.drained(), this.#io.quiet(looking.signal)]);
    looking.abort();
  }

  async #endBeforeDelete(options: DeleteProcessOptions): Promise<void> {
    const { state, pid } = await this.status(options);
    if (state === "stopped" || state === "unknown" || (state === "created" && pid === 0)) return;
    if (options.kill !== true) {
      throw failedPrecondition(`delete ${this.what}: it is ${state}; stop it first, or delete it with kill`);
    }
    const exit = this.wait(options);
    exit.catch(() => {});
    try {
      await this.kill("SIGKILL", { ...options, all: this.execId === "" });
    } catch (error) {
      // It has just ended.
      if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
    }
    await exit;
  }

  /**
   * Closes our ends of its streams; the process goes on, and others can attach to it. Its stdin does not end by this;
   * what has come and was not read is lost.
   */
  detach(): void {
    this.#io.detach();
  }

  /** Kills and deletes it, unless it is gone already. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await unlessGone(this.delete({ kill: true }));
    } finally {
      await this.#io.close();
    }
  }

  /** Deletes the record of the process at the daemon. */
  protected abstract remove(options: Abortable): Promise<DeletedProcess>;

  /** Which process this is, for messages. */
  protected get what(): string {
    const container = `container "${this.containerId}"`;
    return this.execId === "" ? `task of ${container}` : `process "${this.execId}" of ${container}`;
  }

  protected get ref(): ProcessRef {
    return { containerId: this.containerId, execId: this.execId };
  }

  async #closeStdin(): Promise<void> {
    try {
      await this.closeIo();
    } catch (error) {
      // It has ended, which ends its stdin as well.
      const level = ["not-found", "failed-precondition", "canceled"].includes(kindOf(error)) ? "debug" : "warn";
      this.client.log[level]({ process: this.what, err: messageOf(error) }, "stdin not closed");
    }
    this.#io.releaseStdin();
  }
}

function exitOf({ exitStatus, exitedAt }: { exitStatus: number; exitedAt: Timestamp | undefined }): ProcessExit {
  return { exitCode: exitStatus, exitedAt: dateOf(exitedAt) };
}

/** The state of a process as the Tasks service tells it. */
export function statusOf({ status, pid, exitStatus, exitedAt, terminal }: TaskProcess): ProcessStatus {
  return {
    state: states.get(status) ?? "unknown",
    pid,
    exitCode: exitStatus,
    exitedAt: status === TaskStatus.Stopped ? dateOf(exitedAt) : undefined,
    terminal,
  };
}

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : new Date(millisFromTimestamp(timestamp));
}
