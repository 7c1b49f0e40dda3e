/**
 * Ends the process when an input keeps the event loop busy for ever, having kept the input.
 *
 * @module
 */
import { writeSync } from "node:fs";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { keep, repeatCommand } from "./corpus.ts";

const maxInput = 1 << 20;
/** Words of the shared memory: milliseconds until when (0: none is running), length of the input and of the name. */
const [untilWord, inputWord, nameWord, headWords] = [0, 1, 2, 4];
const nameBytes = 64;

/** Watches one input at a time. */
export class Watchdog {
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  readonly #worker: Worker;

  constructor() {
    const shared = new SharedArrayBuffer(headWords * 4 + nameBytes + maxInput);
    this.#words = new Int32Array(shared, 0, headWords);
    this.#bytes = Buffer.from(shared, headWords * 4);
    this.#worker = new Worker(new URL(import.meta.url), { workerData: { shared, origin: performance.timeOrigin } });
    this.#worker.unref();
  }

  /** Begins with an input that may take `limit` milliseconds. */
  watch(name: string, input: Buffer, limit: number): void {
    this.#words[nameWord] = this.#bytes.write(name, 0, nameBytes);
    this.#words[inputWord] = input.copy(this.#bytes, nameBytes);
    Atomics.store(this.#words, untilWord, Math.round(performance.now() + limit));
  }

  /** Nothing is running. */
  rest(): void {
    Atomics.store(this.#words, untilWord, 0);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread && workerData?.shared instanceof SharedArrayBuffer) guard(workerData.shared, workerData.origin);

function guard(shared: SharedArrayBuffer, origin: number): void {
  const words = new Int32Array(shared, 0, headWords);
  const bytes = Buffer.from(shared, headWords * 4);
  setInterval(() => {
    const until = Atomics.load(words, untilWord);
    if (until === 0 || performance.timeOrigin + performance.now() < origin + until) return;
    const name = bytes.toString("utf8", 0, words[nameWord]);
    const file = keep(name, Buffer.from(bytes.subarray(nameBytes, nameBytes + (words[inputWord] ?? 0))));
    writeSync(2, `${name}: hangs\n  repeat: ${repeatCommand(name, file)}\n`);
    process.kill(process.pid, "SIGKILL");
  }, 250);
}
