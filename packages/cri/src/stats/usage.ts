/** Numbers of cgroups as CRI reports them. */
import type { PSIStats } from "@ctrd/api/cgroups/v2/metrics";
import type {
  CpuUsage,
  IoUsage,
  MemoryUsage,
  PsiData,
  PsiStats,
  SwapUsage,
  UInt64Value,
} from "@ctrd/api/cri/runtime/v1/api";
import type { CgroupMetrics } from "./cgroup-metrics.ts";
import { cpuNanoseconds, less, memoryNumbers } from "./cgroup-metrics.ts";

/** A number that is there, also when it is 0. */
export function uint64(value: bigint): UInt64Value {
  return { value };
}

/** What one cgroup uses. */
export interface CgroupUsage {
  cpu: CpuUsage | undefined;
  memory: MemoryUsage | undefined;
  swap: SwapUsage | undefined;
  io: IoUsage | undefined;
}

/**
 * Converts the numbers of one cgroup.
 *
 * @param timestamp when they were taken, nanoseconds since the epoch
 * @param nanoCores processor time per second, when two samples were taken
 */
export function cgroupUsage(cgroup: CgroupMetrics, timestamp: bigint, nanoCores: bigint | undefined): CgroupUsage {
  const pressure = cgroup.version === 2 ? cgroup.metrics.io?.psi : undefined;
  return {
    cpu: cpuUsage(cgroup, timestamp, nanoCores),
    memory: memoryUsage(cgroup, timestamp),
    swap: swapUsage(cgroup, timestamp),
    io: pressure === undefined ? undefined : { timestamp, psi: pressureOf(pressure) },
  };
}

function cpuUsage(cgroup: CgroupMetrics, timestamp: bigint, nanoCores: bigint | undefined): CpuUsage | undefined {
  const total = cpuNanoseconds(cgroup);
  if (total === undefined) return undefined;
  return {
    timestamp,
    usageCoreNanoSeconds: uint64(total),
    usageNanoCores: nanoCores === undefined ? undefined : uint64(nanoCores),
    psi: cgroup.version === 2 ? pressureOf(cgroup.metrics.cpu?.psi) : undefined,
  };
}

function memoryUsage(cgroup: CgroupMetrics, timestamp: bigint): MemoryUsage | undefined {
  const memory = memoryNumbers(cgroup);
  if (memory === undefined) return undefined;
  return {
    timestamp,
    workingSetBytes: uint64(memory.workingSet),
    availableBytes: uint64(memory.limit === undefined ? 0n : less(memory.limit, memory.workingSet)),
    usageBytes: uint64(memory.usage),
    rssBytes: uint64(memory.rss),
    pageFaults: uint64(memory.pageFaults),
    majorPageFaults: uint64(memory.majorPageFaults),
    psi: cgroup.version === 2 ? pressureOf(cgroup.metrics.memory?.psi) : undefined,
  };
}

function swapUsage(cgroup: CgroupMetrics, timestamp: bigint): SwapUsage | undefined {
  const memory = memoryNumbers(cgroup);
  if (memory?.swap === undefined) return undefined;
  const { swap, swapLimit } = memory;
  return {
    timestamp,
    swapAvailableBytes: uint64(swapLimit === undefined ? 0n : less(swapLimit, swap)),
    swapUsageBytes: uint64(swap),
  };
}

/** The kernel's microseconds become CRI's nanoseconds. */
function pressureOf(psi: PSIStats | undefined): PsiStats | undefined {
  if (psi === undefined) return undefined;
  const data = (part: PSIStats["some"]): PsiData | undefined =>
    part && { Total: part.total * 1000n, Avg10: part.avg10, Avg60: part.avg60, Avg300: part.avg300 };
  return { Full: data(psi.full), Some: data(psi.some) };
}
