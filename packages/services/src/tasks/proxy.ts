import { TasksDefinition } from "@ctrd/api/services/tasks/v1/tasks";
import type { TaskService } from "@ctrd/core/tasks";
import type { RpcChannel } from "../rpc/index.ts";

/** The task service behind a Tasks service. */
export function proxyTasks(channel: RpcChannel): TaskService {
  const client = channel.client(TasksDefinition);
  return {
    create: (ctx, request) => client.create(ctx, request),
    start: (ctx, request) => client.start(ctx, request),
    delete: (ctx, request) => client.delete(ctx, request),
    deleteProcess: (ctx, request) => client.deleteProcess(ctx, request),
    get: (ctx, request) => client.get(ctx, request),
    list: (ctx, request) => client.list(ctx, request),
    kill: (ctx, request) => nothing(client.kill(ctx, request)),
    exec: (ctx, request) => nothing(client.exec(ctx, request)),
    resizePty: (ctx, request) => nothing(client.resizePty(ctx, request)),
    closeIo: (ctx, request) => nothing(client.closeIO(ctx, request)),
    pause: (ctx, request) => nothing(client.pause(ctx, request)),
    resume: (ctx, request) => nothing(client.resume(ctx, request)),
    listPids: (ctx, request) => client.listPids(ctx, request),
    checkpoint: (ctx, request) => client.checkpoint(ctx, request),
    update: (ctx, request) => nothing(client.update(ctx, request)),
    metrics: (ctx, request) => client.metrics(ctx, request),
    wait: (ctx, request) => client.wait(ctx, request),
  };
}

async function nothing(answer: Promise<unknown>): Promise<void> {
  await answer;
}
