import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { FieldAdaptor } from "@ctrd/core/filters";
import { compileFilters } from "@ctrd/core/filters";
import { now } from "@ctrd/core/records";
import type { Task, TaskMetric, TaskRuntime } from "@ctrd/core/tasks";
import { withDeadline } from "./deadline.ts";

/**
 * Metrics of the tasks of this namespace that match any of `filters` (fields `id`, `namespace`). A task whose shim does
 * not answer is left out.
 */
export async function collectMetrics(
  runtime: TaskRuntime,
  ctx: CallContext,
  filters: readonly string[],
  timeoutMs: number,
): Promise<{ metrics: TaskMetric[] }> {
  requireNamespace(ctx);
  const matches = compileFilters(filters);
  const tasks = (await runtime.list(ctx, false)).filter((task) => matches(taskAdaptor(task)));
  const metrics = await Promise.all(tasks.map((task) => taskMetric(ctx, task, timeoutMs)));
  return { metrics: metrics.filter((metric) => metric !== undefined) };
}

async function taskMetric(ctx: CallContext, task: Task, timeoutMs: number): Promise<TaskMetric | undefined> {
  const timestamp = now();
  try {
    const data = await withDeadline(ctx, timeoutMs, `metrics of task "${task.id}"`, (limited) => task.stats(limited));
    return { timestamp, id: task.id, data };
  } catch (error) {
    if (!isKind(error, "not-found")) ctx.log.error({ err: error, task: task.id }, "cannot collect metrics of a task");
    return undefined;
  }
}

function taskAdaptor(task: Task): FieldAdaptor {
  return (path) => {
    switch (path[0]) {
      case "id":
        return { value: task.id, present: true };
      case "namespace":
        return { value: task.namespace, present: true };
      default:
        return { value: "", present: false };
    }
  };
}
