/**
 * Named tasks in worker threads: walking and removing trees would hold up every other call on the event loop.
 */
import { Worker } from "node:worker_threads";
import { canceled, failedPrecondition, internal } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";

/** One call to a worker. @internal */
export interface TaskRequest {
  readonly id: number;
  readonly task: string;
  readonly argument: unknown;
}

/** Its answer. An error keeps only its message and errno name. @internal */
export type TaskReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string | undefined } };

/** Options of {@link TaskPool}. */
export interface TaskPoolOptions {
  /** Most threads; 2 by default. */
  threads?: number;
  /** Milliseconds after which idle threads are ended; 10 s by default. */
  idleMillis?: number;
}

/** An error from a worker; `code` is the errno name, if it was a system error. */
class TaskError extends Error {
  override readonly name: string = "TaskError";
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

/** A few threads that run one worker module, started on demand. They do not keep the process alive. */
export class TaskPool {
  readonly #module: URL;
  readonly #threads: Thread[] = [];
  readonly #limit: number;
  readonly #idleMillis: number;
  #nextId = 0;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param module a worker module that calls `serveTasks` of `@ctrd/storage/tasks` */
  constructor(module: URL, options: TaskPoolOptions = {}) {
    this.#module = module;
    this.#limit = options.threads ?? 2;
    this.#idleMillis = options.idleMillis ?? 10_000;
  }

  /**
   * Runs a task. Aborting rejects at once with `canceled`; the thread finishes what it began.
   *
   * @returns what the task returned, as the structured clone algorithm copies it
   * @throws what the task threw: message and errno name
   */
  async run(task: string, argument: unknown, signal?: AbortSignal): Promise<unknown> {
    if (this.#closed) throw failedPrecondition(`run "${task}": the workers are closed`);
    if (signal?.aborted === true) throw canceled(`run "${task}"`, { cause: signal.reason });
    clearTimeout(this.#idle);
    const thread = this.#pick();
    const id = this.#nextId++;
    let abort: (() => void) | undefined;
    try {
      return await new Promise<unknown>((resolve, reject) => {
        abort = () => reject(canceled(`run "${task}"`, { cause: signal?.reason }));
        signal?.addEventListener("abort", abort, { once: true });
        // Throws for what cannot be cloned: then no answer comes.
        thread.worker.postMessage({ id, task, argument } satisfies TaskRequest, []);
        thread.waiting.set(id, { resolve, reject });
        thread.worker.ref();
      });
    } finally {
      if (abort !== undefined) signal?.removeEventListener("abort", abort);
      this.#endWhenIdle();
    }
  }

  /** Ends the threads; tasks that run are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#endThreads();
  }

  async #endThreads(): Promise<void> {
    clearTimeout(this.#idle);
    const threads = this.#threads.splice(0);
    for (const thread of threads) rejectAll(thread, failedPrecondition("the workers were closed"));
    await Promise.all(threads.map((thread) => thread.worker.terminate()));
  }

  /** The thread with the least to do; a new one while all are busy and there may be more. */
  #pick(): Thread {
    let best = this.#threads[0];
    for (const thread of this.#threads) if (thread.waiting.size < (best?.waiting.size ?? 0)) best = thread;
    if (best !== undefined && (best.waiting.size === 0 || this.#threads.length >= this.#limit)) return best;
    return this.#start();
  }

  #start(): Thread {
    const execArgv = workerExecArgv();
    const worker = new Worker(this.#module, execArgv === undefined ? {} : { execArgv });
    const thread: Thread = { worker, waiting: new Map() };
    thread.worker.on("message", (reply: TaskReply) => this.#answer(thread, reply));
    thread.worker.on("error", (error) => this.#lose(thread, error));
    thread.worker.on("exit", () => this.#lose(thread, internal("worker thread ended unexpectedly")));
    this.#threads.push(thread);
    return thread;
  }

  #answer(thread: Thread, reply: TaskReply): void {
    const waiting = thread.waiting.get(reply.id);
    thread.waiting.delete(reply.id);
    if (thread.waiting.size === 0) thread.worker.unref();
    if ("error" in reply) waiting?.reject(new TaskError(reply.error.message, reply.error.code));
    else waiting?.resolve(reply.value);
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#closed || this.#threads.some((each) => each.waiting.size > 0)) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#endThreads(), this.#idleMillis);
    this.#idle.unref();
  }

  #lose(thread: Thread, error: unknown): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    rejectAll(thread, error);
  }
}

function rejectAll(thread: Thread, error: unknown): void {
  for (const waiting of thread.waiting.values()) waiting.reject(error);
  thread.waiting.clear();
}
