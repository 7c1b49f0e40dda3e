/**
 * Has a daemon kill itself at each of its failpoints that a piece of work passes.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, endsWithin, usualPatienceMs } from "./ends-within.ts";
import type { KillWork } from "./kill-anywhere.ts";
import { Ledger } from "./ledger.ts";

/** What {@link killAtPoints} needs of a daemon; `TestDaemon` of the fixtures has it. */
export interface FailpointDaemon {
  /** Starts it again with `env` added to its environment, and waits until it answers. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  /** How its process has ended; undefined while it runs. */
  exitStatus(): string | undefined;
}

/** Options of {@link killAtPoints}. */
export interface KillAtPointsOptions {
  readonly daemon: FailpointDaemon;
  readonly work: KillWork;
  /**
   * Names of failpoints in the order in which the work passes them, or whole settings: `content.write=3*off->kill` for
   * the fourth time.
   */
  readonly points: readonly string[];
  /** What is there that should not be, one line each; called when the work is done and cleaned up. */
  settled(): Promise<string[]>;
  /** Facts of things that outlive the work. */
  readonly ledger?: Ledger;
  /** Milliseconds that a work may take, and an interrupted work to notice; 30,000 when absent. */
  readonly patienceMs?: number;
  /** Called after each kill. */
  readonly progress?: (line: string) => void;
}

/** How long after the end of the work the daemon may still come to the point, in a background job of its own. */
const lingerMs = 3_000;
/** How long a client may take to notice the end of the daemon before it is started for the client's sake. */
const noticeMs = 500;

/**
 * Begins the work once for each point, with the daemon killing itself there; starts the daemon again, asks for every
 * acknowledged fact, and at last does the work to its end. An attempt goes on with what the ones before it have left.
 *
 * @throws Error that names the point and what is wrong: it was not met, a fact is lost, something is left over
 */
export async function killAtPoints(options: KillAtPointsOptions): Promise<void> {
  const { daemon, work, points, progress, ledger = new Ledger(), patienceMs = usualPatienceMs } = options;
  let where = "";
  const fail = (problems: readonly string[]): void => {
    if (problems.length > 0) throw new Error(`${work.name}, ${where}:\n  ${problems.join("\n  ")}`);
  };
  const must = async (what: string, body: () => Promise<unknown>): Promise<void> => {
    let problem: string | undefined;
    try {
      if (!(await endsWithin(body(), patienceMs))) problem = `it has not ended after ${patienceMs} ms`;
    } catch (error) {
      problem = describe(error);
    }
    fail(problem === undefined ? [] : [`${what} failed: ${problem}`]);
  };
  for (const point of points) {
    const setting = point.includes("=") ? point : `${point}=kill`;
    const refusal = await daemon.restart({ CTRD_FAILPOINTS: setting }).catch((error: unknown) => describe(error));
    const before = where;
    where = `killed at ${point}`;
    const lost = await verifyWhileAlive(daemon, ledger);
    // One that comes to the point while it starts, cleaning up after the last kill, is killed all the same.
    if (daemon.exitStatus() === "SIGKILL") {
      progress?.(`${work.name}: ${where}, while it started`);
      continue;
    }
    fail(refusal === undefined ? lost : [`restart after it was ${before} failed: ${refusal}`]);
    let failure: unknown;
    const attempt = work.run(0, ledger).catch((error: unknown) => (failure = error));
    await killed(daemon, attempt, patienceMs);
    if (daemon.exitStatus() !== "SIGKILL") {
      const came = failure === undefined ? "it succeeded" : `it failed: ${describe(failure)}`;
      fail([`the daemon was not killed (${daemon.exitStatus() ?? "it runs"}); of the work: ${came}`]);
    }
    // A client that waits for the daemon would go on with its attempt beside the next one.
    if (!(await endsWithin(attempt, noticeMs))) {
      await must("restart", () => daemon.restart());
      await must("the client's noticing", () => attempt);
    }
    progress?.(`${work.name}: ${where}`);
  }
  await must("restart", () => daemon.restart());
  fail(await ledger.verify());
  where = "after all kills";
  await must("the work", () => work.run(0, ledger));
  fail(await ledger.verify());
  await must("clean-up", () => work.cleanUp(ledger));
  fail(await options.settled());
}

/** Asks for the facts; when the daemon ends meanwhile there is nothing to ask, and clients would wait for it. */
async function verifyWhileAlive(daemon: FailpointDaemon, ledger: Ledger): Promise<string[]> {
  const asking = ledger.verify();
  await killed(daemon, asking, Infinity, 0);
  if (daemon.exitStatus() !== undefined) return [];
  const lost = await asking;
  // Its connections end before its end is known here.
  if (lost.length > 0) await killed(daemon, asking, lingerMs);
  return lost;
}

/** Waits for the end of the daemon, or of the work and a little more. */
async function killed(
  daemon: FailpointDaemon,
  attempt: Promise<unknown>,
  patienceMs: number,
  moreMs = lingerMs,
): Promise<void> {
  let deadline = Date.now() + patienceMs;
  void attempt.then(() => (deadline = Math.min(deadline, Date.now() + moreMs)));
  while (daemon.exitStatus() === undefined && Date.now() < deadline) await sleep(10);
}
