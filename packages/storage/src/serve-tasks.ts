import { parentPort } from "node:worker_threads";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import type { TaskReply, TaskRequest } from "./task-pool.ts";

/** Answers the calls of a `TaskPool` in a worker module. Tasks are synchronous: the thread has nothing else to do. */
export function serveTasks(tasks: Readonly<Record<string, (argument: never) => unknown>>): void {
  const port = parentPort;
  if (port === null) throw new Error("serveTasks: not in a worker thread");
  port.on("message", (request: TaskRequest) => port.postMessage(answer(tasks, request)));
}

function answer(tasks: Readonly<Record<string, (argument: never) => unknown>>, request: TaskRequest): TaskReply {
  const { id } = request;
  const task = Object.hasOwn(tasks, request.task) ? tasks[request.task] : undefined;
  if (task === undefined) return { id, error: { message: `no task "${request.task}"`, code: undefined } };
  try {
    return { id, value: task(request.argument as never) };
  } catch (error) {
    return { id, error: { message: messageOf(error), code: errnoOf(error) } };
  }
}
