/**
 * Kills a daemon at any moment of its work, and looks at what it has afterwards.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createRandom } from "../fixtures/generated-files.ts";
import { describe, endsWithin, usualPatienceMs } from "./ends-within.ts";
import { Ledger } from "./ledger.ts";

/** What the runner needs of a daemon; `TestDaemon` of the fixtures has it. */
export interface KillableDaemon {
  /** SIGKILL, and waits until the process is gone. */
  kill9(): Promise<void>;
  /** Starts it again, and waits until it answers. */
  restart(): Promise<void>;
}

/** A piece of work during which the daemon may die. */
export interface KillWork {
  readonly name: string;
  /**
   * Does the work, and writes what the daemon has acknowledged into the ledger. `run` is the same number for the
   * attempt that was interrupted and for the one that must succeed afterwards: names are made of it.
   */
  run(run: number, ledger: Ledger): Promise<void>;
  /** Takes back what its runs have left on purpose, and their facts. */
  cleanUp(ledger: Ledger): Promise<void>;
}

/** Options of {@link killAnywhere}. */
export interface KillAnywhereOptions {
  readonly daemon: KillableDaemon;
  readonly works: readonly KillWork[];
  /** Decides which works run at a kill, and at which part of their usual time it comes. */
  readonly seed: number;
  readonly kills: number;
  /** Works that run at the same time; 2 when absent. */
  readonly concurrency?: number;
  /** After so many kills the works clean up and `settled` looks for leaks; 1 when absent. */
  readonly settleEvery?: number;
  /** What is there that should not be, one line each; called when no work runs. */
  settled(): Promise<string[]>;
  /** Facts of things that outlive all works. */
  readonly ledger?: Ledger;
  /** Milliseconds that a restart and a work may take, and an interrupted work to notice; 30,000 when absent. */
  readonly patienceMs?: number;
  /** Called after each kill. */
  readonly progress?: (line: string) => void;
}

/** What came of the kills. */
export interface KillReport {
  readonly kills: number;
  /** Attempts that the kill interrupted, by work. */
  readonly interrupted: ReadonlyMap<string, number>;
  /** Facts that were asked for after the kills, all of which were true. */
  readonly facts: number;
  /** Milliseconds from the start of the process until the daemon answered, one per kill. */
  readonly restartMs: readonly number[];
}

/**
 * Runs works, kills the daemon in the midst of them, starts it again; then every acknowledged fact is asked for, the
 * interrupted works are done again, and what is left over is looked for. A run with the same seed has the same works
 * and the same moments, as far as a clock can repeat them.
 *
 * @throws Error that names the seed, the kill, its works, its moment, and all that is wrong
 */
export async function killAnywhere(options: KillAnywhereOptions): Promise<KillReport> {
  const runner = new Runner(options);
  await runner.rehearse();
  for (let kill = 1; kill <= options.kills; kill++) await runner.kill(kill);
  return runner.report();
}

interface Attempt {
  readonly work: KillWork;
  readonly run: number;
  done: boolean;
}

class Runner {
  readonly #options: KillAnywhereOptions;
  readonly #ledger: Ledger;
  readonly #random: () => number;
  readonly #usualMs = new Map<KillWork, number>();
  readonly #interrupted = new Map<string, number>();
  readonly #restartMs: number[] = [];
  #facts = 0;
  #run = 0;
  #where = "before the first kill";

  constructor(options: KillAnywhereOptions) {
    this.#options = options;
    this.#ledger = options.ledger ?? new Ledger();
    this.#random = createRandom(options.seed);
  }

  report(): KillReport {
    const { kills } = this.#options;
    return { kills, interrupted: this.#interrupted, facts: this.#facts, restartMs: this.#restartMs };
  }

  /** Each work once without a kill, to know how long it takes; nothing may be left of it. */
  async rehearse(): Promise<void> {
    for (const work of this.#options.works) {
      const begin = performance.now();
      await this.#must(`work "${work.name}" without a kill`, () => work.run(this.#run++, this.#ledger));
      this.#usualMs.set(work, performance.now() - begin);
      this.#options.progress?.(`"${work.name}" takes ${(performance.now() - begin).toFixed(0)} ms`);
    }
    await this.#settle();
  }

  async kill(kill: number): Promise<void> {
    const { progress, kills, settleEvery = 1 } = this.#options;
    const attempts = this.#choose();
    const delayMs = this.#random() * Math.max(...attempts.map(({ work }) => this.#usualMs.get(work) ?? 0));
    const names = attempts.map(({ work }) => work.name).join(" + ");
    this.#where = `kill ${kill}, ${delayMs.toFixed(0)} ms into ${names}`;
    await this.#interrupt(attempts, delayMs);
    await this.#verify("after the restart");
    const again = attempts.filter(({ done }) => !done);
    for (const { work, run } of again) {
      this.#interrupted.set(work.name, (this.#interrupted.get(work.name) ?? 0) + 1);
      await this.#must(`second attempt of "${work.name}"`, () => work.run(run, this.#ledger));
    }
    await this.#verify("after the second attempt");
    if (kill % settleEvery === 0 || kill === kills) await this.#settle();
    const restart = `restart ${this.#restartMs.at(-1)?.toFixed(0)} ms`;
    const interrupted = `${again.length} of ${attempts.length} interrupted`;
    progress?.(`${this.#where}: ${interrupted}, ${restart}, ${this.#ledger.size} facts left`);
  }

  #choose(): Attempt[] {
    const works = [...this.#options.works];
    const count = Math.min(this.#options.concurrency ?? 2, works.length);
    return Array.from({ length: count }, () => {
      const [work] = works.splice(Math.floor(this.#random() * works.length), 1);
      if (work === undefined) throw new Error("no works to choose from");
      return { work, run: this.#run++, done: false };
    });
  }

  /**
   * Starts the works, kills the daemon and starts it again. A work that fails before the kill is a failure of its own;
   * one that only notices when the daemon is back, as ctr does, may even succeed then.
   */
  async #interrupt(attempts: readonly Attempt[], delayMs: number): Promise<void> {
    let killed = false;
    const early: string[] = [];
    const running = attempts.map(async (attempt) => {
      try {
        await attempt.work.run(attempt.run, this.#ledger);
        attempt.done = true;
      } catch (error) {
        // After the kill this is what is expected: the second attempt will tell.
        if (!killed) early.push(`"${attempt.work.name}" failed before the kill: ${describe(error)}`);
      }
    });
    await sleep(delayMs);
    killed = true;
    const { daemon, patienceMs = usualPatienceMs } = this.#options;
    await daemon.kill9();
    const begin = performance.now();
    await this.#must("restart", () => daemon.restart());
    this.#restartMs.push(performance.now() - begin);
    if (!(await endsWithin(Promise.all(running), patienceMs))) {
      const names = attempts.filter(({ done }) => !done).map(({ work }) => work.name);
      early.push(
        `clients have not noticed the death of the daemon ${patienceMs} ms after its restart: ${names.join(", ")}`,
      );
    }
    this.#fail(early);
  }

  async #verify(when: string): Promise<void> {
    this.#facts += this.#ledger.size;
    this.#fail((await this.#ledger.verify()).map((line) => `${when}: ${line}`));
  }

  async #settle(): Promise<void> {
    for (const work of this.#options.works) {
      await this.#must(`clean-up of "${work.name}"`, () => work.cleanUp(this.#ledger));
    }
    this.#fail(await this.#options.settled());
  }

  async #must(what: string, body: () => Promise<void>): Promise<void> {
    const { patienceMs = usualPatienceMs } = this.#options;
    try {
      if (!(await endsWithin(body(), patienceMs))) throw new Error(`it has not ended after ${patienceMs} ms`);
    } catch (error) {
      throw new Error(this.#message([`${what} failed: ${describe(error)}`]), { cause: error });
    }
  }

  #fail(problems: readonly string[]): void {
    if (problems.length > 0) throw new Error(this.#message(problems));
  }

  #message(problems: readonly string[]): string {
    return `seed ${this.#options.seed}, ${this.#where}:\n  ${problems.join("\n  ")}`;
  }
}
