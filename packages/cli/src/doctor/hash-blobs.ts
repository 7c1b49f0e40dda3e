/**
 * Hashes many files in threads.
 *
 * @module
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { workerExecArgv } from "@ctrd/sys";
import type { HashReply, HashRequest } from "./hash-worker.ts";

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

/** The hashes of files, in any order; files that are gone are left out. @throws the first failure to read */
export async function* hashFiles(files: readonly HashRequest[]): AsyncGenerator<{ path: string; hex: string }> {
  const queue = files.values();
  const count = Math.min(availableParallelism(), files.length);
  const threads = Array.from({ length: count }, () => startThread());
  try {
    const running = new Map<Worker, Promise<{ worker: Worker; reply: HashReply | undefined }>>();
    for (const worker of threads) running.set(worker, next(worker, queue));
    while (running.size > 0) {
      const { worker, reply } = await Promise.race(running.values());
      if (reply === undefined) {
        running.delete(worker);
        continue;
      }
      running.set(worker, next(worker, queue));
      if (reply.error !== undefined) throw reply.error;
      if (reply.hex !== undefined) yield { path: reply.path, hex: reply.hex };
    }
  } finally {
    await Promise.all(threads.map((worker) => worker.terminate()));
  }
}

function startThread(): Worker {
  const execArgv = workerExecArgv();
  return new Worker(new URL(`./hash-worker${extension}`, import.meta.url), execArgv === undefined ? {} : { execArgv });
}

async function next(
  worker: Worker,
  queue: Iterator<HashRequest>,
): Promise<{ worker: Worker; reply: HashReply | undefined }> {
  const { value, done } = queue.next();
  if (done === true) return { worker, reply: undefined };
  worker.postMessage({ path: value.path, algorithm: value.algorithm } satisfies HashRequest);
  const [reply] = (await once(worker, "message")) as [HashReply];
  return { worker, reply };
}
