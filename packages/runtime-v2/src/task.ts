/**
 * A task: calls to its shim.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument, notFound } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Any, Labels } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type { ExecOptions, Task, TaskExit, TaskProcess, TaskProcessInfo, TaskStatus } from "@ctrd/core/tasks";
import type { Shim } from "./shim.ts";
import type { StartGates } from "./start-gates.ts";
import { isClosed } from "./task-client.ts";

/** Exit status of processes whose end nobody saw. */
export const lostExitStatus = 255;

/** The error for a task that is not there. */
export function taskNotFound(id: string): Error {
  return notFound(`task ${id} not found`);
}

/** A task of a connected shim. */
export class ShimTask implements Task {
  readonly id: string;
  readonly namespace: string;
  readonly pid: number;
  readonly shim: Shim;
  readonly #gates: StartGates;
  /** Set when the shim was lost: resolves with the init process's exit once everything is cleaned up. */
  lost: Promise<TaskExit> | undefined;

  constructor(shim: Shim, pid: number, gates: StartGates) {
    this.#gates = gates;
    this.id = shim.bundle.id;
    this.namespace = shim.bundle.namespace;
    this.pid = pid;
    this.shim = shim;
  }

  async state(ctx: CallContext, execId: string): Promise<TaskProcess> {
    try {
      const state = await this.shim.client.call("state", { id: this.id, execId }, ctx);
      return {
        containerId: this.id,
        id: state.execId,
        pid: state.pid,
        status: state.status as number as TaskStatus,
        stdin: state.stdin,
        stdout: state.stdout,
        stderr: state.stderr,
        terminal: state.terminal,
        exitStatus: state.exitStatus,
        exitedAt: state.exitedAt,
      };
    } catch (error) {
      if (isClosed(error)) throw taskNotFound(this.id);
      throw error;
    }
  }

  async start(ctx: CallContext, execId: string): Promise<number> {
    const { client, endpoint } = this.shim;
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.start-process");
    const start = async (): Promise<number> => (await client.call("start", { id: this.id, execId }, ctx)).pid;
    return client.version >= 3 ? start() : this.#gates.run(endpoint.address, start);
  }

  async exec(ctx: CallContext, execId: string, options: ExecOptions): Promise<void> {
    if (execId === "") throw invalidArgument(`exec in task ${this.id}: the exec id must not be empty`);
    const { stdin, stdout, stderr, terminal } = options.io;
    const request = { id: this.id, execId, terminal, stdin, stdout, stderr, spec: options.spec };
    await this.shim.client.call("exec", request, ctx);
  }

  async deleteProcess(ctx: CallContext, execId: string): Promise<TaskExit> {
    if (execId === "") throw invalidArgument(`delete an exec of task ${this.id}: the exec id must not be empty`);
    return this.shim.client.call("delete", { id: this.id, execId }, ctx);
  }

  async kill(ctx: CallContext, execId: string, signal: number, all: boolean): Promise<void> {
    await this.shim.client.call("kill", { id: this.id, execId, signal, all }, ctx);
  }

  async pause(ctx: CallContext): Promise<void> {
    await this.shim.client.call("pause", { id: this.id }, ctx);
  }

  async resume(ctx: CallContext): Promise<void> {
    await this.shim.client.call("resume", { id: this.id }, ctx);
  }

  async resizePty(ctx: CallContext, execId: string, width: number, height: number): Promise<void> {
    await this.shim.client.call("resizePty", { id: this.id, execId, width, height }, ctx);
  }

  async closeIo(ctx: CallContext, execId: string, stdin: boolean): Promise<void> {
    await this.shim.client.call("closeIO", { id: this.id, execId, stdin }, ctx);
  }

  async pids(ctx: CallContext): Promise<TaskProcessInfo[]> {
    const { processes } = await this.shim.client.call("pids", { id: this.id }, ctx);
    return processes;
  }

  async checkpoint(ctx: CallContext, path: string, options: Any | undefined): Promise<void> {
    await this.shim.client.call("checkpoint", { id: this.id, path, options }, ctx);
  }

  async update(ctx: CallContext, resources: Any | undefined, annotations: Labels): Promise<void> {
    await this.shim.client.call("update", { id: this.id, resources, annotations }, ctx);
  }

  async stats(ctx: CallContext): Promise<Any | undefined> {
    const { stats } = await this.shim.client.call("stats", { id: this.id }, ctx);
    return stats;
  }

  async wait(ctx: CallContext, execId: string): Promise<TaskExit> {
    try {
      const exit = await this.shim.client.call("wait", { id: this.id, execId }, ctx);
      return { pid: execId === "" ? this.pid : 0, exitStatus: exit.exitStatus, exitedAt: exit.exitedAt };
    } catch (error) {
      if (!isClosed(error) || this.lost === undefined) throw error;
      // The shim died and its processes were killed with the container.
      const exit = await this.lost;
      return execId === "" ? exit : { pid: 0, exitStatus: lostExitStatus, exitedAt: exit.exitedAt ?? now() };
    }
  }
}
