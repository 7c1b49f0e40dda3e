/**
 * Metrics of Node.js: how late the event loop is, and what its threads do.
 *
 * @module
 */
import type { MetricsSource, MetricsWriter } from "@ctrd/services";
import { readdir, readFile } from "node:fs/promises";
import type { EventLoopUtilization, ELDHistogram } from "node:perf_hooks";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";

/** How often it is looked how late the event loop is, in milliseconds. */
const resolutionMs = 20;
/** Clock ticks of the kernel in a second: its interface has been so on every Linux for long. */
const ticksPerSecond = 100;

/** Threads of one name. */
interface Threads {
  /** Count by state, as `ps` names it: R runs, S sleeps, D waits for a disk. */
  readonly states: Map<string, number>;
  seconds: number;
}

/** Makes a source that watches the event loop from its first reading on, and is told when to stop. */
export function runtimeMetrics(): MetricsSource & { stop(): void } {
  return new RuntimeMetrics();
}

class RuntimeMetrics implements MetricsSource {
  #delay: ELDHistogram | undefined;
  #utilization: EventLoopUtilization | undefined;
  #threads: ReadonlyMap<string, Threads> = new Map();

  async read(): Promise<void> {
    if (this.#delay === undefined) {
      this.#delay = monitorEventLoopDelay({ resolution: resolutionMs });
      this.#delay.enable();
    }
    this.#threads = await readThreads();
  }

  write(writer: MetricsWriter): void {
    if (this.#delay !== undefined) writeDelay(writer, this.#delay);
    this.#delay?.reset();
    const current = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(current, this.#utilization);
    this.#utilization = current;
    writer.family("nodejs_eventloop_utilization", "gauge", "Part of the time since the last scrape that it was busy.");
    writer.sample("nodejs_eventloop_utilization", {}, utilization);
    writeResources(writer);
    writeThreads(writer, this.#threads);
  }

  stop(): void {
    this.#delay?.disable();
    this.#delay = undefined;
  }
}

function writeDelay(writer: MetricsWriter, delay: ELDHistogram): void {
  // It measures whole intervals.
  const seconds = (nanoseconds: number): number =>
    Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - resolutionMs / 1000) : 0;
  const isEmpty = delay.count === 0;
  const values: [string, number, string][] = [
    ["min", delay.min, "Least"],
    ["max", delay.max, "Most"],
    ["mean", delay.mean, "Mean"],
    ["p50", delay.percentile(50), "Median"],
    ["p90", delay.percentile(90), "90th percentile"],
    ["p99", delay.percentile(99), "99th percentile"],
  ];
  for (const [suffix, value, what] of values) {
    const name = `nodejs_eventloop_lag_${suffix}_seconds`;
    writer.family(name, "gauge", `${what} of the event loop's delays since the last scrape.`);
    writer.sample(name, {}, isEmpty ? 0 : seconds(value));
  }
}

/** What the event loop waits for: requests to the thread pool among them (`FSReqCallback`, `FSReqPromise`, …). */
function writeResources(writer: MetricsWriter): void {
  const counts = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1);
  writer.family("nodejs_active_resources", "gauge", "What keeps the event loop going, by type.");
  for (const [type, count] of counts) writer.sample("nodejs_active_resources", { type }, count);
}

function writeThreads(writer: MetricsWriter, threads: ReadonlyMap<string, Threads>): void {
  writer.family("ctrd_threads", "gauge", "Threads of the daemon by name and state (R runs, S sleeps, D waits).");
  for (const [thread, { states }] of threads) {
    for (const [state, count] of states) writer.sample("ctrd_threads", { thread, state }, count);
  }
  writer.family("ctrd_thread_cpu_seconds_total", "counter", "Processor time of the threads there are, by name.");
  for (const [thread, { seconds }] of threads) writer.sample("ctrd_thread_cpu_seconds_total", { thread }, seconds);
}

async function readThreads(): Promise<Map<string, Threads>> {
  const found = new Map<string, Threads>();
  const ids = await readdir("/proc/self/task");
  const texts = await Promise.allSettled(ids.map((id) => readFile(`/proc/self/task/${id}/stat`, "utf8")));
  for (const read of texts) {
    // A thread that has ended meanwhile.
    if (read.status === "rejected") continue;
    const text = read.value;
    // The name is in brackets and may hold anything.
    const match = /^\d+ \((.*)\) (\S) (.*)$/s.exec(text);
    if (match === null) continue;
    const [, name = "", state = "", rest = ""] = match;
    const fields = rest.split(" ");
    const threads = found.get(name) ?? { states: new Map<string, number>(), seconds: 0 };
    threads.states.set(state, (threads.states.get(state) ?? 0) + 1);
    // utime and stime, the 14th and 15th field of the file.
    threads.seconds += (Number(fields[10]) + Number(fields[11])) / ticksPerSecond;
    found.set(name, threads);
  }
  return found;
}
