/**
 * The main thread's side of the hashing thread.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { internal } from "@ctrd/core/errors";
import type { DigestAlgorithm } from "@ctrd/core/digests";
import type { HashReply, HashRequest } from "./hash-worker.ts";

/** A file whose growth is hashed in the background. */
export interface FollowedFile {
  /** Tells that the file now has `to` bytes. */
  advance(to: number): void;
  /** Starts again at the first byte. */
  rewind(): void;
  /** Hash in hex of all bytes told of so far. @throws when the file could not be read */
  digest(): Promise<string>;
  /** Ends following. The file must stay open until this resolves. */
  release(): Promise<void>;
}

interface Pending {
  worker: Worker;
  resolve(hex: string): void;
  reject(error: unknown): void;
}

/** A thread costs 20 MB of memory and 35 ms to start, so it stays a while, but not for ever. */
const defaultIdleMs = 10_000;

/**
 * One worker thread, started at first use and ended when it has had nothing to do for a while. It does not keep the
 * process alive unless an answer is awaited.
 */
export class HashThread {
  readonly #idleMs: number;
  #worker: Worker | undefined;
  #files = 0;
  #idle: NodeJS.Timeout | undefined;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  /** @param idleMs milliseconds without a followed file after which the thread ends */
  constructor(idleMs: number = defaultIdleMs) {
    this.#idleMs = idleMs;
  }

  /** Whether the thread runs at the moment. */
  get running(): boolean {
    return this.#worker !== undefined;
  }

  /** Follows the open file `fd` from its first byte. */
  follow(fd: number, algorithm: DigestAlgorithm): FollowedFile {
    const worker = (this.#worker ??= this.#start());
    clearTimeout(this.#idle);
    this.#files++;
    const id = ++this.#lastId;
    worker.postMessage({ do: "follow", id, fd, algorithm } satisfies HashRequest);
    return {
      advance: (to) => worker.postMessage({ do: "advance", id, to } satisfies HashRequest),
      rewind: () => worker.postMessage({ do: "rewind", id } satisfies HashRequest),
      digest: () => this.#ask(worker, (seq) => ({ do: "digest", id, seq })),
      release: async () => {
        // A thread that ended reads no file any more.
        if (worker !== this.#worker) return;
        await this.#ask(worker, (seq) => ({ do: "release", id, seq }));
        this.#files--;
        if (this.#files === 0) this.#idle = setTimeout(() => void this.close(), this.#idleMs).unref();
      },
    };
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#files = 0;
    await worker?.terminate();
  }

  #ask(worker: Worker, request: (seq: number) => HashRequest): Promise<string> {
    if (worker !== this.#worker) return Promise.reject(internal("the hashing thread has ended"));
    const seq = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) worker.ref();
      this.#pending.set(seq, { worker, resolve, reject });
      worker.postMessage(request(seq));
    });
  }

  #start(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js";
    const worker = new Worker(new URL(file, import.meta.url), {
      name: "content-hash",
      // Options of the main program, such as --input-type, may not suit a worker, and it needs none.
      execArgv: [],
    });
    worker.unref();
    worker.on("message", (reply: HashReply) => {
      const waiting = this.#pending.get(reply.seq);
      this.#pending.delete(reply.seq);
      if (this.#pending.size === 0) worker.unref();
      if ("error" in reply) waiting?.reject(reply.error);
      else waiting?.resolve(reply.hex);
    });
    let cause: unknown;
    worker.on("error", (error) => (cause = error));
    worker.on("exit", (code) => this.#ended(worker, code, cause));
    return worker;
  }

  #ended(worker: Worker, code: number, cause: unknown): void {
    if (this.#worker === worker) {
      this.#worker = undefined;
      this.#files = 0;
    }
    for (const [seq, waiting] of this.#pending) {
      if (waiting.worker !== worker) continue;
      this.#pending.delete(seq);
      waiting.reject(internal(`the hashing thread ended with code ${code}`, { cause }));
    }
  }
}
