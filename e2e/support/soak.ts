/** Runs, execs, deletions and pulls over a long time, and what the daemon holds meanwhile; for the test and `npm run soak`. */
import { readdirSync, readFileSync } from "node:fs";
import type { Client } from "@ctrd/client";
import { nullIo } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { withImageConfig } from "@ctrd/oci";
import { pushImage } from "@ctrd/testkit/fixtures";
import { sleep, until } from "./command.ts";
import type { Harness } from "./harness.ts";
import { layers } from "./kill-bench.ts";
import { withClient } from "./kill-works.ts";

/** How long and how fast. */
export interface SoakPlan {
  readonly seconds: number;
  /** Rest after each turn of a worker, in milliseconds. */
  readonly pauseMs: number;
  readonly progress?: (line: string) => void;
}

/** What the daemon's process holds. */
export interface Holding {
  /** Resident memory: the median of several looks, in KiB. */
  readonly memoryKib: number;
  /** Open files. */
  readonly handles: number;
  readonly threads: number;
}

/** What was done, and what the daemon held after the warm-up and at the end. */
export interface SoakReport {
  readonly runs: number;
  readonly pulls: number;
  readonly warm: Holding;
  readonly end: Holding;
}

const workers = 2;
/** Pulls are slower and shorten the time for the rest. */
const runsBetweenPulls = 5;
/** Share of the time in which heaps and caches grow to their size. */
const warmUpShare = 0.25;

/** Works for the time of the plan. @throws what a work throws */
export async function soak(h: Harness, plan: SoakPlan): Promise<SoakReport> {
  const pulled = await pushImage(h.registry, "e2e/soaked", "1", await layers(3));
  const counts = { runs: 0, pulls: 0 };
  const begin = performance.now();
  const warmUpMs = plan.seconds * 1000 * warmUpShare;
  await workUntil(h, pulled, begin + warmUpMs, plan, counts);
  const warm = await holding(h.daemon.pid);
  tell(plan, `warm after ${counts.runs} runs`, warm);
  await workUntil(h, pulled, begin + plan.seconds * 1000, plan, counts);
  // Threads without work end after ten seconds, connections of clients at once.
  await until("handles and threads are as before", () => handlesOf(h.daemon.pid) <= warm.handles, 30_000).catch(
    () => undefined, // the report says so
  );
  const end = await holding(h.daemon.pid);
  tell(plan, `end after ${counts.runs} runs and ${counts.pulls} pulls`, end);
  return { ...counts, warm, end };
}

async function workUntil(
  h: Harness,
  pulled: string,
  end: number,
  plan: SoakPlan,
  counts: { runs: number; pulls: number },
): Promise<void> {
  let nextLine = performance.now() + 60_000;
  const work = async (worker: number): Promise<void> => {
    while (performance.now() < end) {
      await withClient(h.daemon, (client) => runOnce(client, h.daemon.id(`soak${worker}`), h.image));
      counts.runs++;
      if (worker === 0 && counts.runs % runsBetweenPulls === 0) {
        await withClient(h.daemon, (client) => pullOnce(client, pulled));
        counts.pulls++;
      }
      if (worker === 0 && performance.now() > nextLine) {
        nextLine += 60_000;
        tell(plan, `${counts.runs} runs, ${counts.pulls} pulls`, await holding(h.daemon.pid));
      }
      await sleep(plan.pauseMs);
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
}

/** Runs a container, a process in it, and deletes both. */
async function runOnce(client: Client, id: string, image: string): Promise<void> {
  const specOptions = [withImageConfig({ args: ["sleep", "1000"] })];
  const container = await client.newContainer(id, { image, snapshotter: "overlayfs", specOptions });
  const task = await container.newTask({ io: nullIo });
  await task.start();
  const process = await task.exec("exec", { process: { args: ["true"] }, io: nullIo });
  const ended = process.wait();
  await process.start();
  const { exitCode } = await ended;
  if (exitCode !== 0) throw new Error(`exec in ${id} exited with ${exitCode}`);
  await process.delete();
  await container.delete({ kill: true, snapshot: true });
}

/** Pulls an image that was removed with all that belongs to it. */
async function pullOnce(client: Client, reference: string): Promise<void> {
  try {
    await client.images.delete(client.context(), reference, { sync: true });
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
  await client.pullByDaemon(reference, { plainHttp: true, snapshotter: "overlayfs" });
}

function handlesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function statusOf(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (match === null) throw new Error(`no ${field} in the status of ${pid}`);
  return Number(match[1]);
}

/** Looks several times: memory goes up and down with garbage. */
async function holding(pid: number): Promise<Holding> {
  const looks: number[] = [];
  for (let look = 0; look < 5; look++) {
    looks.push(statusOf(pid, "VmRSS"));
    await sleep(200);
  }
  const memoryKib = looks.toSorted((a, b) => a - b)[2] ?? Number.NaN;
  return { memoryKib, handles: handlesOf(pid), threads: statusOf(pid, "Threads") };
}

function tell(plan: SoakPlan, what: string, { memoryKib, handles, threads }: Holding): void {
  plan.progress?.(`${what}: ${(memoryKib / 1024).toFixed(1)} MiB, ${handles} handles, ${threads} threads`);
}
