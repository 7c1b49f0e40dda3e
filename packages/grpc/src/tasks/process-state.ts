import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { Task, TaskProcess } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { withDeadline } from "./deadline.ts";

/**
 * State of a process. A shim that does not answer in time, or answers nonsense, gives the state Unknown: one stuck shim
 * must not hide the others from a list.
 *
 * @throws ContainerdError `not-found`, `unavailable` when the shim is gone
 */
export async function processState(
  ctx: CallContext,
  task: Task,
  execId: string,
  timeoutMs: number,
): Promise<TaskProcess> {
  const id = execId === "" ? task.id : execId;
  try {
    const state = await withDeadline(ctx, timeoutMs, `state of task "${task.id}"`, (limited) =>
      task.state(limited, execId),
    );
    return { ...state, id, containerId: task.id };
  } catch (error) {
    if (isKind(error, "not-found") || isKind(error, "unavailable") || ctx.signal.aborted) throw error;
    ctx.log.error({ err: error, task: task.id, exec: execId }, "cannot get the state of a process");
    return {
      containerId: task.id,
      id,
      pid: execId === "" ? task.pid : 0,
      status: TaskStatus.Unknown,
      stdin: "",
      stdout: "",
      stderr: "",
      terminal: false,
      exitStatus: 0,
      exitedAt: undefined,
    };
  }
}
