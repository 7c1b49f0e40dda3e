/** Sockets of other network namespaces, made by a thread that may leave its own. */
import { Worker } from "node:worker_threads";
import { failedPrecondition, internal } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";

/** What the thread is asked. */
export interface SocketRequest {
  readonly id: number;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly family: 4 | 6;
}

/** What it answers: a descriptor, which belongs to the whole process. */
export interface SocketReply {
  readonly id: number;
  readonly fd?: number;
  readonly error?: string;
}

/** A thread that nobody has asked for this long ends. */
const idleMs = 10_000;

let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;
let nextId = 0;
const waiting = new Map<number, { resolve(fd: number): void; reject(error: unknown): void }>();

/** A TCP socket of a namespace, not connected. The caller closes it. */
export async function socketInNamespace(netns: string, family: 4 | 6): Promise<number> {
  clearTimeout(idle);
  worker ??= start();
  const id = nextId++;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  waiting.set(id, { resolve, reject });
  worker.postMessage({ id, netns, family } satisfies SocketRequest);
  try {
    return await promise;
  } finally {
    if (waiting.size === 0) {
      idle = setTimeout(() => void end(), idleMs);
      idle.unref();
    }
  }
}

function start(): Worker {
  const module = new URL(
    import.meta.url.endsWith(".ts") ? "./netns-socket-worker.ts" : "./netns-socket-worker.js",
    import.meta.url,
  );
  const execArgv = workerExecArgv();
  const started = new Worker(module, execArgv === undefined ? {} : { execArgv });
  started.unref();
  started.on("message", ({ id, fd, error }: SocketReply) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (fd === undefined) one?.reject(failedPrecondition(error ?? "socket in a network namespace"));
    else one?.resolve(fd);
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

async function end(): Promise<void> {
  const ending = worker;
  worker = undefined;
  await ending?.terminate();
}
