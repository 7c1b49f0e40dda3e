/**
 * Worker threads that are started when needed and kept for a while.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { canceled, ContainerdError, internal, kindOf, messageOf, unavailable } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";
import type { FromWorker, Job, JobResults, ToWorker } from "./jobs.ts";

/** Who listens to a running job. */
export interface JobListener {
  signal: AbortSignal;
  /** Takes a chunk; the worker pauses when several wait. */
  onChunk?(data: Uint8Array): Promise<void>;
  onWarning?(message: string): void;
  onProgress?(size: number): void;
}

/** Options of {@link WorkerPool}. */
export interface WorkerPoolOptions {
  /** Most workers. */
  size: number;
  /** Milliseconds an idle worker is kept. */
  idleTime: number;
  /** Module that the workers run; for tests. */
  module?: URL;
}

const workerUrl = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);

interface Waiting {
  give(worker: Worker): void;
  fail(error: Error): void;
}

/** A pool of workers that run one job each at a time. Idle workers do not keep the process alive. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #idle: Map<Worker, NodeJS.Timeout> = new Map();
  readonly #all: Set<Worker> = new Set();
  readonly #waiting: Set<Waiting> = new Set();
  #closed = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /**
   * Runs `job`. A canceled job stops by itself, with everything it mounted unmounted, before the promise rejects.
   *
   * @throws ContainerdError: the job's own; `canceled` or `deadline-exceeded` when the signal aborts; `unavailable` once
   * closed
   */
  async run<K extends Job["kind"]>(job: Extract<Job, { kind: K }>, listener: JobListener): Promise<JobResults[K]> {
    const worker = await this.#acquire(listener.signal);
    try {
      return (await runOn(worker, job, listener)) as JobResults[K];
    } finally {
      this.#release(worker);
    }
  }

  /** Stops idle workers and refuses jobs; running jobs end first. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting) waiting.fail(unavailable("differ is closed"));
    const idle = [...this.#idle.keys()];
    // Whoever awaits this must not see the process end first.
    for (const worker of idle) worker.ref();
    await Promise.all(idle.map((worker) => this.#discard(worker)));
  }

  async #acquire(signal: AbortSignal): Promise<Worker> {
    if (signal.aborted) throw abortError(signal);
    if (this.#closed) throw unavailable("differ is closed");
    // The one used last has the warmest code.
    const [worker, timer] = [...this.#idle].at(-1) ?? [];
    if (worker !== undefined) {
      clearTimeout(timer);
      this.#idle.delete(worker);
      worker.ref();
      return worker;
    }
    return this.#all.size < this.#options.size ? this.#start() : this.#wait(signal);
  }

  #start(): Worker {
    const execArgv = workerExecArgv();
    const worker = new Worker(this.#options.module ?? workerUrl, {
      name: "ctrd-differ",
      ...(execArgv === undefined ? {} : { execArgv }),
    });
    this.#all.add(worker);
    worker.once("exit", () => {
      this.#all.delete(worker);
      clearTimeout(this.#idle.get(worker));
      this.#idle.delete(worker);
    });
    // A job that is running hears of it too; an idle worker only goes. Its thread ends a moment later: until then nobody
    // must get it.
    worker.on("error", () => void this.#all.delete(worker));
    return worker;
  }

  #wait(signal: AbortSignal): Promise<Worker> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(waiting);
        signal.removeEventListener("abort", onAbort);
      };
      const waiting: Waiting = {
        give: (worker) => (settle(), resolve(worker)),
        fail: (error) => (settle(), reject(error)),
      };
      const onAbort = (): void => waiting.fail(abortError(signal));
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  #release(worker: Worker): void {
    const [next] = this.#waiting;
    const alive = this.#all.has(worker);
    if (next !== undefined) {
      next.give(alive ? worker : this.#start());
      return;
    }
    if (!alive) return;
    if (this.#closed) {
      void this.#discard(worker);
      return;
    }
    worker.unref();
    const timer = setTimeout(() => void this.#discard(worker), this.#options.idleTime);
    this.#idle.set(worker, timer.unref());
  }

  async #discard(worker: Worker): Promise<void> {
    clearTimeout(this.#idle.get(worker));
    this.#idle.delete(worker);
    this.#all.delete(worker);
    await stopWorker(worker);
  }
}

/** Milliseconds for a worker to end by itself. */
const stopTime = 10_000;

/** Lets an idle worker end by itself; one that does not answer is terminated. */
async function stopWorker(worker: Worker): Promise<void> {
  const ended = new Promise<void>((resolve) => void worker.once("exit", () => resolve()));
  const timer = setTimeout(() => void worker.terminate(), stopTime);
  timer.unref();
  worker.postMessage({ type: "stop" } satisfies ToWorker);
  await ended;
  clearTimeout(timer);
}

/** Runs `job` to its end. */
function runOn(worker: Worker, job: Job, listener: JobListener): Promise<JobResults[keyof JobResults]> {
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const { signal } = listener;
  const send = (message: ToWorker): void => worker.postMessage(message);
  return new Promise((resolve, reject) => {
    /** What went wrong on this side; the worker is told to stop and its own error is only the echo. */
    let failure: unknown;
    const stop = (): void => void Atomics.store(flag, 0, 1);
    const end = (error?: Error): void => {
      worker.off("message", onMessage).off("error", end).off("exit", onExit);
      signal.removeEventListener("abort", stop);
      if (error === undefined) return;
      reject(failure instanceof Error ? failure : error);
    };
    const onExit = (): void => end(internal("differ worker exited"));
    const receive = async (data: Uint8Array): Promise<void> => {
      try {
        if (!signal.aborted && failure === undefined) await listener.onChunk?.(data);
      } catch (error) {
        failure = error;
        stop();
      }
      send({ type: "received" });
    };
    let received: Promise<void> = Promise.resolve();
    const onMessage = (message: FromWorker): void => {
      if (message.type === "chunk") received = received.then(() => receive(message.data));
      else if (message.type === "warning") listener.onWarning?.(message.message);
      else if (message.type === "progress") listener.onProgress?.(message.size);
      else if (message.type === "failed") {
        // After the last chunk is dealt with, so that nobody writes to what the caller then closes.
        void received.then(() => end(jobError(message, signal)));
      } else {
        void received.then(() => {
          if (failure !== undefined) end(internal("differ failed"));
          else end();
          resolve(message.result);
        });
      }
    };
    worker.on("message", onMessage).on("error", end).on("exit", onExit);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    send({ type: "job", job, canceled: flag });
  });
}

function jobError(message: Extract<FromWorker, { type: "failed" }>, signal: AbortSignal): ContainerdError {
  if (message.kind === "canceled" && signal.aborted) return abortError(signal);
  return new ContainerdError(message.kind, message.message);
}

/** The error of an aborted call: canceled, or its deadline passed. */
function abortError(signal: AbortSignal): ContainerdError {
  const kind = kindOf(signal.reason);
  if (kind === "deadline-exceeded")
    return new ContainerdError(kind, messageOf(signal.reason), { cause: signal.reason });
  return canceled("differ job", { cause: signal.reason });
}
