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

/** One worker thread, started at first use. It does not keep the process alive unless an answer is awaited. */
export class HashThread {
  #worker: Worker | undefined;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  /** Follows the open file `fd` from its first byte. */
  follow(fd: number, algorithm: DigestAlgorithm): FollowedFile {
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#lastId;
    worker.postMessage({ do: "follow", id, fd, algorithm } satisfies HashRequest);
    return {
      advance: (to) => worker.postMessage({ do: "advance", id, to } satisfies HashRequest),
      rewind: () => worker.postMessage({ do: "rewind", id } satisfies HashRequest),
      digest: () => this.#ask(worker, (seq) => ({ do: "digest", id, seq })),
      release: async () => {
        // A thread that ended reads no file any more.
        if (worker === this.#worker) await this.#ask(worker, (seq) => ({ do: "release", id, seq }));
      },
    };
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
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
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 },
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
    if (this.#worker === worker) this.#worker = undefined;
    for (const [seq, waiting] of this.#pending) {
      if (waiting.worker !== worker) continue;
      this.#pending.delete(seq);
      waiting.reject(internal(`the hashing thread ended with code ${code}`, { cause }));
    }
  }
}
