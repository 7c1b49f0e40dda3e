/** Statistics of containers and pods. */
import type { BigIntStatsFs } from "node:fs";
import { statfs } from "node:fs/promises";
import type {
  ContainerMetrics,
  ContainerStats,
  MetricDescriptor,
  PodSandboxMetrics,
  PodSandboxStats,
} from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { errnoOf, isKind } from "@ctrd/core/errors";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { TaskMetric } from "@ctrd/core/tasks";
import { CachedLayers } from "./cached-layers.ts";
import type { CgroupMetrics } from "./cgroup-metrics.ts";
import { cpuNanoseconds, decodeMetrics, processCount } from "./cgroup-metrics.ts";
import { addCgroupMetrics, addNetworkMetrics, addSpecMetrics } from "./container-metrics.ts";
import { CpuSamples } from "./cpu-samples.ts";
import type { InterfaceCounters } from "./host-pool.ts";
import { HostPool } from "./host-pool.ts";
import { baseLabels, metricKinds } from "./metric-descriptors.ts";
import { MetricList } from "./metric-list.ts";
import { readPodCgroup } from "./pod-cgroup.ts";
import { networkUsage, podInterface, sumUsage } from "./pod-usage.ts";
import type { StatsContainer, StatsPod, StatsSources } from "./sources.ts";
import type { CgroupUsage } from "./usage.ts";
import { cgroupUsage, uint64 } from "./usage.ts";

/** So many tasks are asked for by id; for more all are, which costs less than so many filters. */
const maxFilters = 32;

/** Options of {@link StatsCollector}. */
export interface StatsOptions {
  /** Whether `/sys/fs/cgroup` is the unified tree. */
  cgroup2: boolean;
  /** How often samples of processor use are taken between questions, in milliseconds; absent: never. */
  samplePeriodMs?: number;
  /** After this long a sample tells nothing any more, in milliseconds. */
  retentionMs: number;
}

/** Numbers of one task. */
interface TaskNumbers {
  cgroup: CgroupMetrics;
  usage: CgroupUsage;
}

/**
 * Makes statistics of running containers and ready pods. Rates come from two questions or samples: the first answer
 * about a container has none.
 */
export class StatsCollector {
  readonly #sources: StatsSources;
  readonly #options: StatsOptions;
  readonly #layers: CachedLayers;
  readonly #samples: CpuSamples;
  readonly #host = new HostPool();
  /** When somebody asked last. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(sources: StatsSources, options: StatsOptions) {
    this.#sources = sources;
    this.#options = options;
    this.#layers = new CachedLayers(sources.layers);
    this.#samples = new CpuSamples(options.retentionMs);
  }

  /**
   * Takes samples from now on, when the options say so, but only while somebody asks now and then: each sample is a
   * question to every shim.
   *
   * @param ctx its namespace is that of the containers
   */
  start(ctx: CallContext): void {
    const { samplePeriodMs } = this.#options;
    if (samplePeriodMs !== undefined && samplePeriodMs > 0) this.#sampleLater(ctx, samplePeriodMs);
  }

  /** Stops samples and ends the worker thread. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#host.close();
  }

  /** Statistics of containers, in their order. Those that do not run have their writable layer only. */
  async containerStats(ctx: CallContext, containers: readonly StatsContainer[]): Promise<ContainerStats[]> {
    this.#askedAt = Date.now();
    const running = containers.filter(({ isRunning }) => isRunning).map(({ id }) => id);
    const numbers = await this.#taskNumbers(ctx, running);
    return Promise.all(containers.map((container) => this.#statsOf(ctx, container, numbers.get(container.id)?.usage)));
  }

  /** Statistics of those pods that are ready, in their order. */
  async podStats(ctx: CallContext, pods: readonly StatsPod[]): Promise<PodSandboxStats[]> {
    this.#askedAt = Date.now();
    const ready = pods.filter(({ isReady }) => isReady);
    const ids = ready.flatMap(({ id, containers }) => [id, ...runningOf(containers)]);
    const [numbers, networks] = await Promise.all([this.#taskNumbers(ctx, ids), this.#networks(ctx, ready)]);
    return Promise.all(ready.map((pod) => this.#podStatsOf(ctx, pod, numbers, networks.get(pod.id))));
  }

  /** Which metrics there are. */
  metricDescriptors(): MetricDescriptor[] {
    return [...metricKinds.values()].map(({ name, help, labels }) => ({
      name,
      help,
      labelKeys: [...baseLabels, ...labels],
    }));
  }

  /** Metrics of those pods that are ready, and of their running containers. */
  async podMetrics(ctx: CallContext, pods: readonly StatsPod[]): Promise<PodSandboxMetrics[]> {
    const ready = pods.filter(({ isReady }) => isReady);
    const ids = ready.flatMap(({ containers }) => runningOf(containers));
    const [numbers, networks] = await Promise.all([this.#taskNumbers(ctx, ids), this.#networks(ctx, ready)]);
    return Promise.all(ready.map((pod) => this.#podMetricsOf(ctx, pod, numbers, networks.get(pod.id) ?? [])));
  }

  #sampleLater(ctx: CallContext, periodMs: number): void {
    const sample = async (): Promise<void> => {
      try {
        const isWanted = Date.now() - this.#askedAt < this.#options.retentionMs;
        if (isWanted) await this.#taskNumbers(ctx, undefined);
      } catch (error) {
        if (!ctx.signal.aborted) ctx.log.warn({ err: error }, "cannot take samples of processor use");
      }
      if (!ctx.signal.aborted) this.#sampleLater(ctx, periodMs);
    };
    this.#timer = setTimeout(() => void sample(), periodMs);
    this.#timer.unref();
  }

  /** Asks the shims. @param ids which tasks; all when absent */
  async #taskNumbers(ctx: CallContext, ids: readonly string[] | undefined): Promise<Map<string, TaskNumbers>> {
    this.#samples.prune(nanosOf(Date.now()));
    if (ids?.length === 0) return new Map();
    const filters = ids === undefined || ids.length > maxFilters ? [] : ids.map((id) => `id==${id}`);
    const { metrics } = await this.#sources.tasks.metrics(ctx, { filters });
    const wanted = new Set(ids);
    const entries = metrics.flatMap((metric): [string, TaskNumbers][] => {
      if (ids !== undefined && !wanted.has(metric.id)) return [];
      const numbers = this.#read(ctx, metric);
      return numbers === undefined ? [] : [[metric.id, numbers]];
    });
    return new Map(entries);
  }

  #read(ctx: CallContext, { id, timestamp, data }: TaskMetric): TaskNumbers | undefined {
    const cgroup = decodeMetrics(data);
    if (cgroup === undefined) {
      ctx.log.debug({ task: id, type: data?.typeUrl }, "metrics of a task are of a kind that is not known");
      return undefined;
    }
    return { cgroup, usage: this.#usage(id, cgroup, nanosOf(millisFromTimestamp(timestamp))) };
  }

  #usage(id: string, cgroup: CgroupMetrics, at: bigint): CgroupUsage {
    const used = cpuNanoseconds(cgroup);
    return cgroupUsage(cgroup, at, used === undefined ? undefined : this.#samples.add(id, at, used));
  }

  async #statsOf(ctx: CallContext, container: StatsContainer, usage: CgroupUsage | undefined): Promise<ContainerStats> {
    const { id, config, snapshotter } = container;
    const { metadata, labels, annotations } = config;
    const layer = (await this.#layers.of(ctx, snapshotter)).get(id);
    return {
      attributes: { id, metadata, labels, annotations },
      cpu: usage?.cpu,
      memory: usage?.memory,
      writableLayer: {
        timestamp: nanosOf(layer?.at ?? Date.now()),
        fsId: { mountpoint: this.#sources.layerPath(snapshotter) },
        usedBytes: uint64(layer?.size ?? 0n),
        inodesUsed: uint64(layer?.inodes ?? 0n),
      },
      swap: usage?.swap,
      io: usage?.io,
    };
  }

  async #podStatsOf(
    ctx: CallContext,
    pod: StatsPod,
    numbers: ReadonlyMap<string, TaskNumbers>,
    interfaces: readonly InterfaceCounters[] | undefined,
  ): Promise<PodSandboxStats> {
    const { id, config, containers } = pod;
    const { metadata, labels, annotations } = config;
    const running = containers.filter(({ isRunning }) => isRunning);
    const own = await readPodCgroup(config.linux?.cgroupParent ?? "", this.#options.cgroup2);
    const at = nanosOf(Date.now());
    const members = [id, ...running.map((container) => container.id)].flatMap((each) => numbers.get(each) ?? []);
    // The key is not that of the pause container, which has the id of the pod.
    const usage =
      own === undefined
        ? sumUsage(
            members.map((each) => each.usage),
            at,
          )
        : this.#usage(`pod/${id}`, own, at);
    const processes = running.map((container) => numbers.get(container.id)).filter((each) => each !== undefined);
    const count = processes.reduce((sum, { cgroup }) => sum + processCount(cgroup), 0n);
    return {
      attributes: { id, metadata, labels, annotations },
      linux: {
        cpu: usage.cpu,
        memory: usage.memory,
        network: interfaces === undefined ? undefined : networkUsage(interfaces, at),
        process: { timestamp: at, processCount: uint64(count) },
        containers: await Promise.all(containers.map((each) => this.#statsOf(ctx, each, numbers.get(each.id)?.usage))),
        io: usage.io,
      },
      windows: undefined,
    };
  }

  /** Interfaces of the pods that have a network of their own, by pod. */
  async #networks(ctx: CallContext, pods: readonly StatsPod[]): Promise<Map<string, InterfaceCounters[]>> {
    const own = pods.filter(({ netnsPath }) => netnsPath !== "");
    const networks = await this.#host.networks(
      own.map(({ netnsPath }) => netnsPath),
      ctx.signal,
    );
    return new Map(own.map(({ id }, index) => [id, networks[index] ?? []]));
  }

  async #podMetricsOf(
    ctx: CallContext,
    pod: StatsPod,
    numbers: ReadonlyMap<string, TaskNumbers>,
    interfaces: readonly InterfaceCounters[],
  ): Promise<PodSandboxMetrics> {
    const { name = "", namespace = "" } = pod.config.metadata ?? {};
    const list = new MetricList([name, namespace, "", pod.id, ""], nanosOf(Date.now()));
    const network = interfaces.find((each) => each.name === podInterface);
    if (network !== undefined) addNetworkMetrics(list, network);
    const containerMetrics = await Promise.all(
      pod.containers.map(async (container) => {
        const known = numbers.get(container.id);
        return known === undefined ? [] : this.#containerMetrics(ctx, container, [name, namespace], known.cgroup);
      }),
    );
    return { podSandboxId: pod.id, metrics: list.metrics, containerMetrics: containerMetrics.flat() };
  }

  /** A list of one; of none when the container went in the meantime. */
  async #containerMetrics(
    ctx: CallContext,
    container: StatsContainer,
    podLabels: readonly string[],
    cgroup: CgroupMetrics,
  ): Promise<ContainerMetrics[]> {
    const { id, config, startedAt } = container;
    const now = Date.now();
    const image = config.image?.userSpecifiedImage ?? "";
    const list = new MetricList([...podLabels, config.metadata?.name ?? "", id, image], nanosOf(now));
    list.add("container_last_seen", BigInt(Math.trunc(now / 1000)));
    list.add("container_start_time_seconds", startedAt / 1_000_000_000n);
    addCgroupMetrics(list, cgroup);
    try {
      await Promise.all([
        this.#addFilesystem(ctx, container, list),
        this.#addDescriptors(ctx, id, list),
        this.#sources.spec(ctx, id).then((spec) => addSpecMetrics(list, spec)),
      ]);
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
      return [];
    }
    return [{ containerId: id, metrics: list.metrics }];
  }

  async #addFilesystem(ctx: CallContext, { id, snapshotter }: StatsContainer, list: MetricList): Promise<void> {
    const [layers, system] = await Promise.all([this.#layers.of(ctx, snapshotter), statOf(this.#sources.rootfs(id))]);
    const layer = layers.get(id);
    list.add("container_fs_usage_bytes", layer?.size ?? 0n, "/");
    list.add("container_fs_limit_bytes", system && system.blocks * system.bsize, "/");
    list.add("container_fs_inodes_total", layer?.inodes ?? 0n, "/");
    list.add("container_fs_inodes_free", system?.ffree, "/");
  }

  async #addDescriptors(ctx: CallContext, id: string, list: MetricList): Promise<void> {
    const { processes } = await this.#sources.tasks.listPids(ctx, { containerId: id });
    const count = await this.#host.descriptors(
      processes.map(({ pid }) => pid),
      ctx.signal,
    );
    list.add("container_file_descriptors", count.files);
    list.add("container_sockets", count.sockets);
  }
}

/** `undefined` where the root file system is not on the host, as with a machine of its own. */
async function statOf(directory: string): Promise<BigIntStatsFs | undefined> {
  try {
    return await statfs(directory, { bigint: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function runningOf(containers: readonly StatsContainer[]): string[] {
  return containers.filter(({ isRunning }) => isRunning).map(({ id }) => id);
}

function nanosOf(millis: number): bigint {
  return BigInt(Math.trunc(millis * 1000)) * 1000n;
}
