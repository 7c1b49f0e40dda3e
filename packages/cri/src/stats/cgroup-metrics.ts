/** Numbers of a cgroup as shims report them, of cgroup v1 or v2. */
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import type { Any } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";

/** Numbers of one cgroup. */
export type CgroupMetrics = { version: 1; metrics: MetricsV1 } | { version: 2; metrics: MetricsV2 };

/** Reads what a shim reported; `undefined` for numbers of another kind (those of a machine, for example). */
export function decodeMetrics(data: Any | undefined): CgroupMetrics | undefined {
  if (data === undefined) return undefined;
  switch (typeName(data.typeUrl)) {
    case "io.containerd.cgroups.v1.Metrics":
      return { version: 1, metrics: MetricsV1.decode(data.value) };
    case "io.containerd.cgroups.v2.Metrics":
      return { version: 2, metrics: MetricsV2.decode(data.value) };
    default:
      return undefined;
  }
}

/** Processor time in nanoseconds. */
export function cpuNanoseconds(cgroup: CgroupMetrics): bigint | undefined {
  if (cgroup.version === 1) return cgroup.metrics.cpu?.usage?.total;
  const micros = cgroup.metrics.cpu?.usageUsec;
  return micros === undefined ? undefined : micros * 1000n;
}

/** Number of processes and threads. */
export function processCount(cgroup: CgroupMetrics): bigint {
  return cgroup.metrics.pids?.current ?? 0n;
}

/** Memory of a cgroup in bytes, the same for both versions. */
export interface MemoryNumbers {
  usage: bigint;
  /** Usage without file cache that can go at once. */
  workingSet: bigint;
  /** Absent when there is none. */
  limit: bigint | undefined;
  rss: bigint;
  pageFaults: bigint;
  majorPageFaults: bigint;
  /** Swap that is used; absent when it is not counted. */
  swap: bigint | undefined;
  /** Absent when there is none. */
  swapLimit: bigint | undefined;
}

/** Memory numbers; `undefined` when the cgroup has none. */
export function memoryNumbers(cgroup: CgroupMetrics): MemoryNumbers | undefined {
  return cgroup.version === 1 ? memoryV1(cgroup.metrics) : memoryV2(cgroup.metrics);
}

function memoryV1({ memory }: MetricsV1): MemoryNumbers | undefined {
  if (memory?.usage === undefined) return undefined;
  const { usage, limit } = memory.usage;
  // The kernel counts memory and swap together.
  const both = memory.swap;
  const [memoryLimit, bothLimit] = [limited(limit), both === undefined ? undefined : limited(both.limit)];
  return {
    usage,
    workingSet: less(usage, memory.totalInactiveFile),
    limit: memoryLimit,
    rss: memory.totalRss,
    pageFaults: memory.totalPgFault,
    majorPageFaults: memory.totalPgMajFault,
    swap: both === undefined ? undefined : less(both.usage, usage),
    swapLimit: memoryLimit === undefined || bothLimit === undefined ? undefined : less(bothLimit, memoryLimit),
  };
}

function memoryV2({ memory }: MetricsV2): MemoryNumbers | undefined {
  if (memory === undefined) return undefined;
  return {
    usage: memory.usage,
    workingSet: less(memory.usage, memory.inactiveFile),
    limit: limited(memory.usageLimit),
    // As cAdvisor has it: anonymous memory alone.
    rss: memory.anon,
    pageFaults: memory.pgfault,
    majorPageFaults: memory.pgmajfault,
    swap: memory.swapUsage,
    swapLimit: limited(memory.swapLimit),
  };
}

/** The difference, not below zero: the numbers are not read at one moment. */
export function less(one: bigint, other: bigint): bigint {
  return one > other ? one - other : 0n;
}

/** A limit, or `undefined` for the kernel's largest number, which it rounds to pages. */
function limited(limit: bigint): bigint | undefined {
  return limit > 1n << 62n ? undefined : limit;
}
