/**
 * Worker threads that convert layers, for as long as an image is being converted.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { ContentReader } from "@ctrd/core/content";
import { canceled, ContainerdError, internal, kindOf } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";
import { Turns } from "../turns.ts";
import type { ConvertedLayer, ConvertJob, FromWorker, ToWorker } from "./jobs.ts";

/** What a job reads and where its result goes. */
export interface JobEnds {
  readonly signal: AbortSignal;
  readonly reader: ContentReader;
  /** Takes a chunk of the result; the worker waits when several are not taken yet. */
  write(chunk: Uint8Array): Promise<void>;
  /** Told how many bytes of the layer were read. */
  progress(offset: number): void;
}

const workerUrl = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);
/** A layer at a time keeps a worker and a thread of the pool busy. */
const maxWorkers = 4;

/** Runs a job in each worker at a time. Disposing ends the workers. */
export class ConvertWorkers implements AsyncDisposable {
  readonly #turns: Turns = new Turns(Math.min(maxWorkers, availableParallelism()));
  readonly #idle: Worker[] = [];

  /**
   * Runs a job.
   *
   * @throws ContainerdError: the job's own; `canceled` or `deadline-exceeded` when the signal aborts; what reading and
   * writing throw
   */
  run(job: ConvertJob, ends: JobEnds): Promise<ConvertedLayer> {
    return this.#turns.run(async () => {
      ends.signal.throwIfAborted();
      const worker = this.#idle.pop() ?? startWorker();
      try {
        const result = await runOn(worker, job, ends);
        this.#idle.push(worker);
        return result;
      } catch (error) {
        // It holds nothing that would have to be put in order.
        await worker.terminate();
        throw error;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((worker) => worker.terminate()));
  }
}

function startWorker(): Worker {
  const execArgv = workerExecArgv();
  return new Worker(workerUrl, { name: "ctrd-convert", ...(execArgv === undefined ? {} : { execArgv }) });
}

async function runOn(worker: Worker, job: ConvertJob, ends: JobEnds): Promise<ConvertedLayer> {
  const { promise, resolve, reject } = Promise.withResolvers<ConvertedLayer>();
  const send = (message: ToWorker, transfer: readonly ArrayBuffer[] = []): void =>
    worker.postMessage(message, [...transfer]);
  const fail = (error: unknown): void => reject(error instanceof Error ? error : internal(String(error)));
  /** What was received is written in order, and all of it before the job ends. */
  let written: Promise<void> = Promise.resolve();
  const read = async (offset: number, length: number): Promise<void> => {
    const data = await ends.reader.read(BigInt(offset), length);
    send({ type: "input", offset, data });
  };
  const onMessage = (message: FromWorker): void => {
    if (message.type === "read") read(message.offset, message.length).catch(fail);
    else if (message.type === "progress") ends.progress(message.offset);
    else if (message.type === "failed") fail(new ContainerdError(message.kind, message.message));
    else if (message.type === "done") written.then(() => resolve(message.result), fail);
    else {
      written = written.then(() => ends.write(message.data)).then(() => send({ type: "received" }));
      written.catch(fail);
    }
  };
  const onExit = (): void => fail(internal("the worker of a conversion exited"));
  const onAbort = (): void => fail(abortError(ends.signal));
  worker.on("message", onMessage).on("error", fail).on("exit", onExit);
  ends.signal.addEventListener("abort", onAbort, { once: true });
  try {
    send({ type: "job", job });
    return await promise;
  } finally {
    worker.off("message", onMessage).off("error", fail).off("exit", onExit);
    ends.signal.removeEventListener("abort", onAbort);
    // Nobody writes to what the caller then closes.
    await written.catch(() => {});
  }
}

/** The error of an aborted call: canceled, or its deadline passed. */
function abortError(signal: AbortSignal): ContainerdError {
  const kind = kindOf(signal.reason);
  if (kind === "deadline-exceeded") return new ContainerdError(kind, "convert layer", { cause: signal.reason });
  return canceled("convert layer", { cause: signal.reason });
}
