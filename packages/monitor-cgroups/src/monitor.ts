/**
 * Asks the shims of all running tasks for what their cgroups tell, at each scrape.
 *
 * @module
 */
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import type { ContainerStore } from "@ctrd/core/containers";
import { createContext, withNamespace } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Task, TaskRuntime } from "@ctrd/core/tasks";
import { typeName } from "@ctrd/core/typeurl";
import type { MetricsSource, MetricsWriter } from "@ctrd/services";
import type { Family } from "./family.ts";
import { familiesV1 } from "./v1.ts";
import { familiesV2 } from "./v2.ts";

/** What the monitor asks. */
export interface CgroupMonitorOptions {
  readonly runtime: Pick<TaskRuntime, "list">;
  /** Tells the name of a container's runtime. */
  readonly containers: Pick<ContainerStore, "get">;
  /** How long one shim may take, in milliseconds. One that is slower is left out. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** Numbers of one task. */
interface Reading<Stats> {
  readonly labels: Readonly<Record<string, string>>;
  readonly stats: Stats;
}

/** Makes a source of containerd's `container_*` metrics. */
export function cgroupMonitor(options: CgroupMonitorOptions): MetricsSource {
  return new CgroupMonitor(options);
}

class CgroupMonitor implements MetricsSource {
  readonly #options: CgroupMonitorOptions;
  readonly #runtimes: WeakMap<Task, string> = new WeakMap();
  #v1: Reading<MetricsV1>[] = [];
  #v2: Reading<MetricsV2>[] = [];

  constructor(options: CgroupMonitorOptions) {
    this.#options = options;
  }

  async read(): Promise<void> {
    const { runtime, log } = this.#options;
    const tasks = await runtime.list(createContext({ log }), true);
    const v1: Reading<MetricsV1>[] = [];
    const v2: Reading<MetricsV2>[] = [];
    await Promise.all(tasks.map((task) => this.#readTask(task, v1, v2)));
    [this.#v1, this.#v2] = [v1, v2];
  }

  write(writer: MetricsWriter): void {
    writeFamilies(writer, familiesV1, this.#v1);
    writeFamilies(writer, familiesV2, this.#v2);
  }

  async #readTask(task: Task, v1: Reading<MetricsV1>[], v2: Reading<MetricsV2>[]): Promise<void> {
    const { timeoutMs, log } = this.#options;
    const { id, namespace } = task;
    try {
      const ctx = createContext({ namespace, log, signal: AbortSignal.timeout(timeoutMs) });
      const [stats, runtime] = await Promise.all([task.stats(ctx), this.#runtimeOf(task)]);
      const labels = { container_id: id, namespace, runtime };
      if (stats === undefined) return;
      const name = typeName(stats.typeUrl);
      if (name === "io.containerd.cgroups.v1.Metrics") v1.push({ labels, stats: MetricsV1.decode(stats.value) });
      if (name === "io.containerd.cgroups.v2.Metrics") v2.push({ labels, stats: MetricsV2.decode(stats.value) });
    } catch (error) {
      // It has ended meanwhile.
      if (isKind(error, "not-found") || isKind(error, "unavailable")) return;
      log.warn({ task: id, namespace, err: messageOf(error) }, "cannot read what a task uses");
    }
  }

  async #runtimeOf(task: Task): Promise<string> {
    const known = this.#runtimes.get(task);
    if (known !== undefined) return known;
    const ctx = withNamespace(createContext({ log: this.#options.log }), task.namespace);
    const { runtime } = await this.#options.containers.get(ctx, task.id);
    const name = runtime?.name ?? "";
    this.#runtimes.set(task, name);
    return name;
  }
}

function writeFamilies<Stats>(
  writer: MetricsWriter,
  families: readonly Family<Stats>[],
  readings: readonly Reading<Stats>[],
): void {
  for (const { name, help, values } of families) {
    const samples = readings.flatMap(({ labels, stats }) =>
      values(stats).map((value) => ({ labels, ...value, more: value.labels })),
    );
    if (samples.length === 0) continue;
    writer.family(name, "gauge", help);
    for (const { labels, more, value } of samples) writer.sample(name, { ...labels, ...more }, value);
  }
}
