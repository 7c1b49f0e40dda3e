/** Runs, execs, deletions and pulls over a long time, and what the daemon holds meanwhile; for the test and `npm run soak`. */
import { readdirSync, readFileSync } from "node:fs";
import type { Client } from "@ctrd/client";
import { nullIo } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { withImageConfig } from "@ctrd/oci";
import { pushImage } from "@ctrd/testkit/fixtures";
import { sleep } from "./command.ts";
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
  /** Resident memory in KiB. */
  readonly memoryKib: number;
  /** Open files. */
  readonly handles: number;
  readonly threads: number;
}

/**
 * What was done, and what the daemon held after the warm-up and at the end. Memory goes up and down with garbage: of the
 * second and the last quarter of the time it is the median.
 */
export interface SoakReport {
  readonly runs: number;
  readonly pulls: number;
  readonly warm: Holding;
  readonly end: Holding;
}

const workers = 2;
/** Pulls are slower and shorten the time for the rest. */
const runsBetweenPulls = 5;
const lookEveryMs = 500;
/** Longest wait for handles to be closed. */
const settleMs = 15_000;

/** Works for the time of the plan. @throws what a work throws */
export async function soak(h: Harness, plan: SoakPlan): Promise<SoakReport> {
  const pulled = await pushImage(h.registry, "e2e/soaked", "1", await layers(3));
  const counts = { runs: 0, pulls: 0 };
  const quarterMs = (plan.seconds * 1000) / 4;
  const memories: number[] = [];
  const handles: number[] = [];
  const threads: number[] = [];
  for (let quarter = 0; quarter < 4; quarter++) {
    memories.push(await workFor(h, pulled, quarterMs, plan, counts));
    await settle(h.daemon.pid, handles[1] ?? Number.POSITIVE_INFINITY);
    handles.push(handlesOf(h.daemon.pid));
    threads.push(statusOf(h.daemon.pid, "Threads"));
    plan.progress?.(
      `${counts.runs} runs, ${counts.pulls} pulls: ${((memories.at(-1) ?? 0) / 1024).toFixed(1)} MiB, ` +
        `${handles.at(-1)} handles, ${threads.at(-1)} threads`,
    );
  }
  const at = (quarter: number): Holding => ({
    memoryKib: memories[quarter] ?? Number.NaN,
    handles: handles[quarter] ?? Number.NaN,
    threads: threads[quarter] ?? Number.NaN,
  });
  return { ...counts, warm: at(1), end: at(3) };
}

/** Connections of clients end at once, threads without work after ten seconds. What stays open the report tells. */
async function settle(pid: number, wanted: number): Promise<void> {
  const end = performance.now() + settleMs;
  while (handlesOf(pid) > wanted && performance.now() < end) await sleep(100);
}

/** Returns the median of the daemon's memory in the meantime. */
async function workFor(
  h: Harness,
  pulled: string,
  forMs: number,
  plan: SoakPlan,
  counts: { runs: number; pulls: number },
): Promise<number> {
  const end = performance.now() + forMs;
  const looks: number[] = [];
  const look = async (): Promise<void> => {
    while (performance.now() < end) {
      await sleep(lookEveryMs);
      looks.push(statusOf(h.daemon.pid, "VmRSS"));
    }
  };
  const work = async (worker: number): Promise<void> => {
    while (performance.now() < end) {
      await withClient(h.daemon, (client) => runOnce(client, h.daemon.id(`soak${worker}`), h.image));
      counts.runs++;
      if (worker === 0 && counts.runs % runsBetweenPulls === 0) {
        await withClient(h.daemon, (client) => pullOnce(client, pulled));
        counts.pulls++;
      }
      await sleep(plan.pauseMs);
    }
  };
  await Promise.all([look(), ...Array.from({ length: workers }, (_, worker) => work(worker))]);
  return looks.toSorted((a, b) => a - b)[looks.length >> 1] ?? Number.NaN;
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
