/**
 * What the daemon is doing.
 *
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { Operation } from "@ctrd/core/operations";
import type { PluginStatus } from "@ctrd/core/plugin";
import type { SeenStack } from "./profile.ts";
import { cpuProfile, stacksOf } from "./profile.ts";

/** What the daemon tells of itself. */
export interface DebugSources {
  operations(): readonly Operation[];
  plugins(): readonly PluginStatus[];
}

/** A thread of the process. */
export interface ThreadState {
  readonly id: number;
  readonly name: string;
  /** As `ps` names it: R runs, S sleeps, D waits for a disk. */
  readonly state: string;
  /** Part of the time that it had a processor, 0 to 1. */
  readonly busy: number;
}

/** What `ctrd debug stacks` shows. */
export interface Stacks {
  readonly pid: number;
  /** How long it was watched. */
  readonly seconds: number;
  readonly eventLoop: { readonly utilization: number; readonly maxDelayMs: number };
  /** What the event loop did. */
  readonly stacks: readonly SeenStack[];
  readonly threads: readonly ThreadState[];
  readonly operations: readonly unknown[];
  /** What the event loop waits for, by type. */
  readonly resources: Readonly<Record<string, number>>;
}

/** Stacks that are shown. */
const mostStacks = 20;
const delayResolutionMs = 10;
/** Clock ticks of the kernel in a second. */
const ticksPerSecond = 100;

/** Watches the daemon for some time. */
export async function stacksDuring(seconds: number, sources: DebugSources, signal: AbortSignal): Promise<Stacks> {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  const [loop, threads] = [performance.eventLoopUtilization(), await readThreads()];
  const start = performance.now();
  try {
    const profile = await cpuProfile(seconds, signal);
    const passed = (performance.now() - start) / 1000;
    const { utilization } = performance.eventLoopUtilization(loop);
    return {
      pid: process.pid,
      seconds: passed,
      eventLoop: { utilization, maxDelayMs: Math.max(0, delay.max / 1e6 - delayResolutionMs) },
      stacks: stacksOf(profile, mostStacks),
      threads: busyThreads(threads, await readThreads(), passed),
      operations: operationsOf(sources),
      resources: activeResources(),
    };
  } finally {
    delay.disable();
  }
}

/**
 * All that can be said at once: Node's diagnostic report, without the environment, and what the daemon knows. It may
 * hold file names and addresses, and no content.
 */
export function dumpOf(sources: DebugSources): unknown {
  const { report } = process;
  // Looking up the names of peers would block. Node's types do not know it.
  Object.assign(report, { excludeNetwork: true });
  return {
    operations: operationsOf(sources),
    plugins: sources
      .plugins()
      .map(({ type, id, state, error, source }) => ({ plugin: `${type}.${id}`, state, error, source })),
    resources: activeResources(),
    memory: process.memoryUsage(),
    report: withoutEnvironment(report.getReport() as NodeReport),
  };
}

interface NodeReport {
  readonly environmentVariables?: unknown;
  /** One for each worker thread. */
  readonly workers?: readonly NodeReport[];
}

/** The environment may hold passwords, of proxies for example. */
function withoutEnvironment({ environmentVariables: _secret, workers = [], ...rest }: NodeReport): NodeReport {
  return { ...rest, workers: workers.map(withoutEnvironment) };
}

function operationsOf(sources: DebugSources): unknown[] {
  const now = Date.now();
  return sources.operations().map(({ id, name, namespace, object, caller, startedAt, stages, passive }) => ({
    id,
    name,
    namespace,
    object,
    caller,
    ageMs: now - startedAt,
    passive,
    stages: stages.map((stage) => ({
      name: stage.name,
      object: stage.object,
      ageMs: now - stage.startedAt,
      waitsFor: stage.waitsFor?.id,
    })),
  }));
}

function activeResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of process.getActiveResourcesInfo()) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

interface ThreadReading {
  readonly name: string;
  readonly state: string;
  readonly seconds: number;
}

async function readThreads(): Promise<Map<number, ThreadReading>> {
  const found = new Map<number, ThreadReading>();
  const ids = await readdir("/proc/self/task");
  const texts = await Promise.allSettled(ids.map((id) => readFile(`/proc/self/task/${id}/stat`, "utf8")));
  for (const read of texts) {
    // A thread that has ended meanwhile.
    if (read.status === "rejected") continue;
    // The name is in brackets and may hold anything.
    const [, id = "", name = "", state = "", rest = ""] = /^(\d+) \((.*)\) (\S) (.*)$/s.exec(read.value) ?? [];
    const fields = rest.split(" ");
    // utime and stime, the 14th and 15th field of the file.
    const seconds = (Number(fields[10]) + Number(fields[11])) / ticksPerSecond;
    found.set(Number(id), { name, state, seconds });
  }
  return found;
}

function busyThreads(
  before: ReadonlyMap<number, ThreadReading>,
  after: ReadonlyMap<number, ThreadReading>,
  passed: number,
): ThreadState[] {
  return [...after].map(([id, { name, state, seconds }]) => {
    const busy = (seconds - (before.get(id)?.seconds ?? 0)) / passed;
    return { id, name, state, busy: Math.min(1, Math.max(0, busy)) };
  });
}
