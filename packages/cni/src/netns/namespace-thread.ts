import { Worker } from "node:worker_threads";
import { internal } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";
import type { NamespaceReply, NamespaceRequest, NamespaceTask } from "./namespace-task.ts";

/** The system call that failed in the thread, with its errno name. */
class NamespaceError extends Error {
  override readonly name: string = "NamespaceError";
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

/** A thread is started in ten times the time that a namespace takes: it is kept for the next. */
const idleMs = 10_000;

let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;
let nextId = 0;
const waiting = new Map<number, { resolve(): void; reject(error: unknown): void }>();

/** Runs a task in the thread for network namespaces. It does not keep the process alive once it is done. */
export async function inNamespaceThread(task: NamespaceTask): Promise<void> {
  clearTimeout(idle);
  worker ??= start();
  const id = nextId++;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  waiting.set(id, { resolve, reject });
  worker.ref();
  worker.postMessage({ id, task } satisfies NamespaceRequest);
  try {
    await promise;
  } finally {
    if (waiting.size === 0) {
      worker?.unref();
      idle = setTimeout(() => void endIdle(), idleMs).unref();
    }
  }
}

function start(): Worker {
  const module = new URL(
    import.meta.url.endsWith(".ts") ? "./namespace-worker.ts" : "./namespace-worker.js",
    import.meta.url,
  );
  const execArgv = workerExecArgv();
  const started = new Worker(module, execArgv === undefined ? {} : { execArgv });
  started.on("message", ({ id, error }: NamespaceReply) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) one?.resolve();
    else one?.reject(new NamespaceError(error.message, error.code));
  });
  const lose = (error: unknown): void => {
    if (worker !== started) return;
    worker = undefined;
    for (const one of waiting.values()) one.reject(error);
    waiting.clear();
  };
  started.on("error", lose);
  started.on("exit", () => lose(internal("the thread for network namespaces ended unexpectedly")));
  return started;
}

async function endIdle(): Promise<void> {
  const ending = worker;
  worker = undefined;
  await ending?.terminate();
}
