/**
 * The daemon's side of the thread that writes logs. Copying what containers say would hold up every call.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { failedPrecondition, internal, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { workerExecArgv } from "@ctrd/sys";
import type { FromLogThread, LogCall, OutputsToRead, SentError, ToLogThread } from "./log-protocol.ts";
import type { OutputListener } from "./logged-outputs.ts";
import { LoggedOutputs } from "./logged-outputs.ts";

/** How soon another thread takes over from one that has failed. */
const restartMs = 1_000;
/** Blocks of lines are outside of these; what is in them is small and dies young. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** An error of the thread. */
class LogError extends Error {
  override readonly name: string = "LogError";
  readonly code: string | undefined;

  constructor({ message, code }: SentError) {
    super(message);
    this.code = code;
  }
}

/** One thread for the logs of all containers, started with the first. When it fails another one takes over. */
export class LogThread {
  readonly #log: Logger;
  readonly #outputs = new Map<number, LoggedOutputs>();
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  #worker: Worker | undefined;
  #next = 0;
  #closed = false;
  #restart: NodeJS.Timeout | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Starts the thread, which otherwise starts with the first output. */
  prepare(): void {
    if (!this.#closed) this.#worker ??= this.#start();
  }

  /**
   * Begins to read outputs and to write them down.
   *
   * @throws when the log or a FIFO cannot be opened; `code` is the errno name
   */
  async open(outputs: OutputsToRead, listener: OutputListener): Promise<LoggedOutputs> {
    const id = this.#next++;
    const logged = new LoggedOutputs(outputs, listener, {
      call: (call) => this.#call({ ...call, id }),
      say: (notice) => this.#post({ ...notice, id }),
      forget: () => void this.#outputs.delete(id),
    });
    this.#outputs.set(id, logged);
    try {
      await this.#call({ type: "open", id, outputs });
    } catch (error) {
      this.#outputs.delete(id);
      throw error;
    }
    logged.isRead = true;
    return logged;
  }

  /** Reads no more, writes down what was read, and ends the thread. Containers that go on stand still when they say more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker !== undefined) {
      await this.#call({ type: "stop" }).catch((error: unknown) => {
        this.#log.error({ err: messageOf(error) }, "logs of containers not closed");
      });
      await worker.terminate();
    }
    for (const logged of this.#outputs.values()) logged.finish();
  }

  #start(): Worker {
    const module = new URL(import.meta.url.endsWith(".ts") ? "./log-worker.ts" : "./log-worker.js", import.meta.url);
    const execArgv = workerExecArgv();
    const worker = new Worker(module, { resourceLimits, ...(execArgv === undefined ? {} : { execArgv }) });
    worker.unref();
    worker.on("message", (message: FromLogThread) => this.#receive(message));
    worker.on("error", (error) => {
      this.#log.error({ err: messageOf(error) }, "the thread that writes logs of containers failed");
    });
    worker.on("exit", () => {
      if (this.#worker === worker) this.#lose();
    });
    return worker;
  }

  #post(message: ToLogThread): void {
    this.prepare();
    this.#worker?.postMessage(message);
  }

  async #call(call: LogCall): Promise<unknown> {
    if (this.#closed && call.type !== "stop") throw failedPrecondition("logs of containers are closed");
    const number = this.#next++;
    const reply = Promise.withResolvers<unknown>();
    this.#calls.set(number, reply);
    this.#post({ ...call, call: number });
    // It does not keep the process alive unless somebody waits.
    this.#worker?.ref();
    return reply.promise;
  }

  #receive(message: FromLogThread): void {
    if (message.type === "reply" || message.type === "failure") {
      const reply = this.#calls.get(message.call);
      this.#calls.delete(message.call);
      if (this.#calls.size === 0) this.#worker?.unref();
      if (message.type === "reply") reply?.resolve(message.value);
      else reply?.reject(new LogError(message.error));
      return;
    }
    const logged = this.#outputs.get(message.id);
    if (message.type === "output") logged?.deliver(message.name, message.chunk);
    else if (message.type === "ended") logged?.finish();
    else (logged?.log ?? this.#log)[message.level](message.fields, message.message);
  }

  /** The thread has ended by itself. What was in its memory is lost; the FIFOs are not. */
  #lose(): void {
    this.#worker = undefined;
    for (const reply of this.#calls.values()) reply.reject(internal("the thread that writes logs has ended"));
    this.#calls.clear();
    for (const logged of this.#outputs.values()) logged.lose();
    if (this.#closed || this.#outputs.size === 0) return;
    this.#restart = setTimeout(() => void this.#takeOver(), restartMs);
  }

  async #takeOver(): Promise<void> {
    const lost = [...this.#outputs].filter(([, logged]) => !logged.isRead);
    this.#log.warn({ containers: lost.length }, "another thread writes logs of containers on");
    for (const [id, logged] of lost) {
      try {
        await this.#call({ type: "open", id, outputs: logged.outputs });
        logged.isRead = true;
        if (logged.isOver) this.#post({ type: "close", id });
      } catch (error) {
        // Else this thread has failed too, and the next one tries.
        if (!(error instanceof LogError)) return;
        logged.log.error({ err: messageOf(error) }, "log of a container not written any more");
        logged.finish();
      }
    }
  }
}
