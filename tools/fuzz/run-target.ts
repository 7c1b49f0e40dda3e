/**
 * Giving inputs to a target, and what counts as a fault.
 *
 * @module
 */
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { corpusOf } from "./corpus.ts";
import { Random } from "./random.ts";
import { isAnswer } from "./target.ts";
import type { OpenTarget, Target } from "./target.ts";
import type { Watchdog } from "./watchdog.ts";

/** An input and what went wrong with it. */
export interface Fault {
  readonly input: Buffer;
  readonly error: Error;
}

/** What a run of a target came to. */
export interface Outcome {
  readonly executions: number;
  /** Inputs that were taken without an error. */
  readonly accepted: number;
  readonly faults: readonly Fault[];
}

/** How to run a target. */
export interface RunOptions {
  readonly seed: number;
  /** Milliseconds of mutations, after the corpus. */
  readonly duration: number;
  readonly watchdog?: Watchdog;
}

const defaultLimit = 2_000;
/** A run ends when it has found so many. */
const maxFaults = 3;
const minimizeTime = 5_000;
/** Inputs between two turns of the event loop, for targets that do not wait. */
const turnEvery = 64;
const maxMemory = 2 ** 31;

/** Runs the corpus, and mutations of it. */
export async function runTarget(target: Target, options: RunOptions): Promise<Outcome> {
  const corpus = corpusOf(target);
  const random = new Random(options.seed);
  const open = await target.open();
  const run = new Run(target, open, options.watchdog);
  try {
    for (const input of corpus) await run.give(input);
    const end = Date.now() + options.duration;
    while (Date.now() < end && run.faults.length < maxFaults) {
      await run.give(target.mutate(random, random.pick(corpus), corpus));
    }
    await run.settle();
  } finally {
    options.watchdog?.rest();
    run.stop();
    await open.close?.();
  }
  return run;
}

/** Gives one input. */
export async function runInput(target: Target, input: Buffer): Promise<Outcome> {
  const open = await target.open();
  const run = new Run(target, open, undefined);
  try {
    await run.give(input);
    await run.settle();
  } finally {
    run.stop();
    await open.close?.();
  }
  return run;
}

class Run implements Outcome {
  executions = 0;
  accepted = 0;
  readonly faults: Fault[] = [];
  readonly #target: Target;
  readonly #open: OpenTarget;
  readonly #watchdog: Watchdog | undefined;
  readonly #seen: Set<string> = new Set();
  #stray: Error | undefined;
  #last: Buffer = Buffer.alloc(0);

  constructor(target: Target, open: OpenTarget, watchdog: Watchdog | undefined) {
    this.#target = target;
    this.#open = open;
    this.#watchdog = watchdog;
    process.on("unhandledRejection", this.#onStray);
    process.on("uncaughtException", this.#onStray);
  }

  /** Nobody waited for it: the last input may not be what made it, but is near. */
  readonly #onStray = (error: unknown): void => {
    this.#stray = new Error(`unhandled: ${String(error)}`, { cause: error });
  };

  stop(): void {
    process.off("unhandledRejection", this.#onStray);
    process.off("uncaughtException", this.#onStray);
  }

  async give(input: Buffer): Promise<void> {
    this.executions++;
    this.#last = input;
    const error = await this.#execute(input);
    if (error !== undefined) await this.#found(input, error);
    if (this.executions % turnEvery === 0) await this.settle();
  }

  /** Lets what nobody waits for happen. */
  async settle(): Promise<void> {
    await turn();
    const stray = this.#stray;
    this.#stray = undefined;
    if (stray !== undefined) this.#add(this.#last, stray);
    const memory = process.memoryUsage.rss();
    if (memory > maxMemory) this.#add(this.#last, new Error(`memory: ${memory >> 20} MiB are in use`));
  }

  async #execute(input: Buffer): Promise<Error | undefined> {
    const limit = this.#target.limit ?? defaultLimit;
    const start = performance.now();
    this.#watchdog?.watch(this.#target.name, input, limit * 10);
    try {
      // Targets may write into what they are given.
      const running = this.#open.run(Buffer.from(input));
      if (running !== undefined) await within(running, limit * 5);
      this.accepted++;
    } catch (error) {
      if (!isAnswer(error)) return error instanceof Error ? error : new Error(`thrown: ${String(error)}`);
    }
    const took = performance.now() - start;
    return took > limit ? new Error(`slow: ${Math.round(took)} ms`) : undefined;
  }

  async #found(input: Buffer, error: Error): Promise<void> {
    // The machine may have been busy.
    if (error.message.startsWith("slow:") && (await this.#execute(input)) === undefined) return;
    if (this.#seen.has(classOf(error))) return;
    this.#add(await this.#minimize(input, error), error);
  }

  #add(input: Buffer, error: Error): void {
    if (this.#seen.has(classOf(error))) return;
    this.#seen.add(classOf(error));
    this.faults.push({ input, error });
  }

  /** Leaves out parts as long as the same goes wrong. */
  async #minimize(input: Buffer, error: Error): Promise<Buffer> {
    const wanted = classOf(error);
    const end = Date.now() + minimizeTime;
    let smallest = input;
    for (let size = Math.ceil(input.length / 2); size > 0; size = Math.floor(size / 2)) {
      for (let at = 0; at < smallest.length;) {
        if (Date.now() > end) return smallest;
        const shorter = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)]);
        const failure = await this.#execute(shorter);
        if (failure !== undefined && classOf(failure) === wanted) smallest = shorter;
        else at += size;
      }
    }
    return smallest;
  }
}

/** Faults of one class are one fault: by name, by where it was first thrown, and by the first word of what it says. */
function classOf(error: Error): string {
  let root = error;
  while (root.cause instanceof Error) root = root.cause;
  const place = /\n {4}at .*?([\w-]+\.[jt]s:\d+)/.exec(root.stack ?? "")?.[1] ?? "";
  return `${root.name} ${place} ${root.message.split(/[\s:]/, 1)[0]}`;
}

async function within(running: Promise<void>, limit: number): Promise<void> {
  const timer = new AbortController();
  const late = wait(limit, "late", { signal: timer.signal }).catch(() => "over");
  try {
    if ((await Promise.race([running, late])) === "late") throw new Error(`hang: no end after ${limit} ms`);
  } finally {
    timer.abort();
  }
}
