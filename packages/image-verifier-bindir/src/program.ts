/**
 * One program that is asked.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { closeOnExecFrom, killGroup } from "@ctrd/sys";

/** A question. */
export interface Question {
  readonly path: string;
  readonly args: readonly string[];
  readonly input: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What a program answered. */
export interface Answer {
  readonly accepted: boolean;
  /** How it ended. */
  readonly how: string;
  /** What it wrote to stdout, else to stderr. */
  readonly said: string;
}

/** Most bytes that are kept of each output. */
const maxOutput = 32 * 1024;
/** How long output is awaited after the exit: something that the program started may hold the pipe open. */
const lateOutputMs = 200;

/**
 * Runs the program, in a process group of its own, to its end.
 *
 * @throws Error when it cannot be started, or has not ended in time; the reason of `signal`
 */
export async function ask({ path, args, input, timeoutMs, signal }: Question): Promise<Answer> {
  signal.throwIfAborted();
  closeOnExecFrom(3);
  // Without free descriptors the streams are missing and only "error" follows, hence the general type.
  const child: ChildProcess = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const [stdout, stderr] = [new Kept(child.stdout), new Kept(child.stderr)];
  // A program that does not read its input makes EPIPE; its exit code tells what it thinks.
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals>();
  const giveUp = (reason: unknown): void => {
    reject(reason);
    killGroup(child);
  };
  const abort = (): void => giveUp(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(() => giveUp(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  let late: NodeJS.Timeout | undefined;
  child.once("error", reject);
  child.once("close", (code, by) => resolve(code ?? by ?? -1));
  child.once("exit", (code, by) => {
    late = setTimeout(() => resolve(code ?? by ?? -1), lateOutputMs);
  });
  try {
    const ended = await promise;
    const how = typeof ended === "number" ? `exit code ${ended}` : `signal ${ended}`;
    return { accepted: ended === 0, how, said: stdout.text() || stderr.text() };
  } finally {
    clearTimeout(timer);
    clearTimeout(late);
    signal.removeEventListener("abort", abort);
    for (const stream of child.stdio) stream?.destroy();
  }
}

/** The beginning of an output; the rest is read and forgotten, so that its writer can go on. */
class Kept {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(stream: NodeJS.ReadableStream | null) {
    stream?.on("data", (chunk: Buffer) => {
      const kept = chunk.subarray(0, maxOutput - this.#size);
      if (kept.length === 0) return;
      this.#chunks.push(kept);
      this.#size += kept.length;
    });
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString().trim();
  }
}
