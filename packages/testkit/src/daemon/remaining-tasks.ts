import { lstat, rmdir, unlink } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { createContext, withNamespace } from "@ctrd/core/context";
import { errnoOf, isKind, messageOf } from "@ctrd/core/errors";
import type { Task, TaskRuntime } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { processesMentioning } from "../fixtures/system-state.ts";

const killSignal = 9;

/** Kills and deletes every task, as a test that failed halfway leaves them: a daemon that stops does not. */
export async function removeTasks(runtimes: readonly TaskRuntime[]): Promise<void> {
  const ctx = createContext({ signal: AbortSignal.timeout(10_000) });
  for (const runtime of runtimes) {
    for (const task of await runtime.list(ctx, true)) await removeTask(runtime, task);
  }
}

async function removeTask(runtime: TaskRuntime, task: Task): Promise<void> {
  const ctx = withNamespace(createContext({ signal: AbortSignal.timeout(10_000) }), task.namespace);
  try {
    const { status, stdin, stdout, stderr } = await task.state(ctx, "");
    if (status === TaskStatus.Paused) await task.resume(ctx);
    if (status !== TaskStatus.Stopped) await Promise.all([task.wait(ctx, ""), task.kill(ctx, "", killSignal, true)]);
    await runtime.delete(ctx, task.id);
    for (const path of [stdin, stdout, stderr]) await removeFifo(path);
  } catch (error) {
    // It ended by itself in the meantime.
    if (!isKind(error, "not-found")) throw new Error(`remove task ${task.id}: ${messageOf(error)}`, { cause: error });
  }
}

/** Clients that went away left the FIFOs they had made for the task, in directories of their own. */
async function removeFifo(path: string): Promise<void> {
  if (!isAbsolute(path)) return;
  try {
    if (!(await lstat(path)).isFIFO()) return;
    await unlink(path);
    await rmdir(dirname(path));
  } catch (error) {
    // The client was faster, or has more in its directory.
    if (!["ENOENT", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) throw error;
  }
}

/** Kills the shims that work below `directory`: with their daemon gone nobody else would. */
export async function killShims(directory: string): Promise<void> {
  for (const { pid, command } of await processesMentioning(directory)) {
    if (!/^\S*containerd-shim-/.test(command)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      // It ended between the look and the signal.
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  }
}
