import { TasksDefinition } from "@ctrd/api/services/tasks/v1/tasks";
import type { TaskService } from "@ctrd/core/tasks";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a task service as containerd's Tasks service. */
export function serveTasks(tasks: TaskService): BoundService {
  return bindService(TasksDefinition, {
    create: (ctx, request) => tasks.create(ctx, request),
    start: (ctx, request) => tasks.start(ctx, request),
    delete: (ctx, request) => tasks.delete(ctx, request),
    deleteProcess: (ctx, request) => tasks.deleteProcess(ctx, request),
    get: (ctx, request) => tasks.get(ctx, request),
    list: (ctx, request) => tasks.list(ctx, request),
    kill: (ctx, request) => empty(tasks.kill(ctx, request)),
    exec: (ctx, request) => empty(tasks.exec(ctx, request)),
    resizePty: (ctx, request) => empty(tasks.resizePty(ctx, request)),
    closeIO: (ctx, request) => empty(tasks.closeIo(ctx, request)),
    pause: (ctx, request) => empty(tasks.pause(ctx, request)),
    resume: (ctx, request) => empty(tasks.resume(ctx, request)),
    listPids: (ctx, request) => tasks.listPids(ctx, request),
    checkpoint: (ctx, request) => tasks.checkpoint(ctx, request),
    update: (ctx, request) => empty(tasks.update(ctx, request)),
    metrics: (ctx, request) => tasks.metrics(ctx, request),
    wait: (ctx, request) => tasks.wait(ctx, request),
  });
}

async function empty(done: Promise<void>): Promise<Record<string, never>> {
  await done;
  return {};
}
