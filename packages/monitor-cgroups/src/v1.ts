/**
 * What a cgroup of version 1 tells.
 *
 * @module
 */
import type { BlkIOEntry, BlkIOStat, MemoryEntry, MemoryStat, Metrics } from "@ctrd/api/cgroups/v1/metrics";
import type { Family, Value } from "./family.ts";
import { several, single } from "./family.ts";

type Numbers<T> = { [K in keyof T]: T[K] extends bigint ? K : never }[keyof T];

const memoryFields: readonly [name: string, field: Numbers<MemoryStat>][] = [
  ["cache", "cache"],
  ["rss", "rss"],
  ["rss_huge", "rssHuge"],
  ["mapped_file", "mappedFile"],
  ["dirty", "dirty"],
  ["writeback", "writeback"],
  ["pgpgin", "pgPgIn"],
  ["pgpgout", "pgPgOut"],
  ["pgfault", "pgFault"],
  ["pgmajfault", "pgMajFault"],
  ["inactive_anon", "inactiveAnon"],
  ["active_anon", "activeAnon"],
  ["inactive_file", "inactiveFile"],
  ["active_file", "activeFile"],
  ["unevictable", "unevictable"],
  ["hierarchical_memory_limit", "hierarchicalMemoryLimit"],
  ["hierarchical_memsw_limit", "hierarchicalSwapLimit"],
  ["total_cache", "totalCache"],
  ["total_rss", "totalRss"],
  ["total_rss_huge", "totalRssHuge"],
  ["total_mapped_file", "totalMappedFile"],
  ["total_dirty", "totalDirty"],
  ["total_writeback", "totalWriteback"],
  ["total_pgpgin", "totalPgPgIn"],
  ["total_pgpgout", "totalPgPgOut"],
  ["total_pgfault", "totalPgFault"],
  ["total_pgmajfault", "totalPgMajFault"],
  ["total_inactive_anon", "totalInactiveAnon"],
  ["total_active_anon", "totalActiveAnon"],
  ["total_inactive_file", "totalInactiveFile"],
  ["total_active_file", "totalActiveFile"],
  ["total_unevictable", "totalUnevictable"],
];

/** Counters of a kind of memory. */
function memoryEntry(kind: string, of: (memory: MemoryStat) => MemoryEntry | undefined): Family<Metrics>[] {
  const entry = ({ memory }: Metrics): MemoryEntry | undefined => (memory === undefined ? undefined : of(memory));
  return [
    single(`memory_${kind}_failcnt_total`, `How often the limit of ${kind} memory was met`, (s) => entry(s)?.failcnt),
    single(`memory_${kind}_limit_bytes`, `Limit of ${kind} memory`, (s) => entry(s)?.limit),
    single(`memory_${kind}_max_bytes`, `Most ${kind} memory so far`, (s) => entry(s)?.max),
    single(`memory_${kind}_usage_bytes`, `The ${kind} memory in use`, (s) => entry(s)?.usage),
  ];
}

const blkioFields: readonly [name: string, field: keyof BlkIOStat][] = [
  ["io_merged_recursive_total", "ioMergedRecursive"],
  ["io_queued_recursive_total", "ioQueuedRecursive"],
  ["io_service_bytes_recursive_bytes", "ioServiceBytesRecursive"],
  ["io_service_time_recursive_total", "ioServiceTimeRecursive"],
  ["io_serviced_recursive_total", "ioServicedRecursive"],
  ["io_time_recursive_total", "ioTimeRecursive"],
  ["sectors_recursive_total", "sectorsRecursive"],
];

function blkioValues(entries: readonly BlkIOEntry[] | undefined): Value[] | undefined {
  return entries?.map(({ op, device, major, minor, value }) => ({
    value: Number(value),
    labels: { op, device, major: String(major), minor: String(minor) },
  }));
}

const hugetlb = (name: string, help: string, field: "usage" | "failcnt" | "max"): Family<Metrics> =>
  several(`hugetlb_${name}`, help, (s) =>
    s.hugetlb.map((each) => ({ value: Number(each[field]), labels: { page: each.pagesize } })),
  );

/** containerd's metrics of version 1. */
export const familiesV1: readonly Family<Metrics>[] = [
  single("pids_limit", "Most processes that are allowed", (s) => s.pids?.limit),
  single("pids_current", "Processes", (s) => s.pids?.current),
  single("cpu_total_nanoseconds", "Processor time", (s) => s.cpu?.usage?.total),
  single("cpu_kernel_nanoseconds", "Processor time in the kernel", (s) => s.cpu?.usage?.kernel),
  single("cpu_user_nanoseconds", "Processor time in user space", (s) => s.cpu?.usage?.user),
  several("per_cpu_nanoseconds", "Processor time by processor", (s) =>
    s.cpu?.usage?.perCpu.map((value, cpu) => ({ value: Number(value), labels: { cpu: String(cpu) } })),
  ),
  single("cpu_throttle_periods_total", "Periods that the quota was looked at", (s) => s.cpu?.throttling?.periods),
  single("cpu_throttled_periods_total", "Periods cut short", (s) => s.cpu?.throttling?.throttledPeriods),
  single("cpu_throttled_time_nanoseconds", "Time without processor", (s) => s.cpu?.throttling?.throttledTime),
  ...memoryFields.map(([name, field]) =>
    single<Metrics>(`memory_${name}_bytes`, `${name} of memory.stat`, (s) => s.memory?.[field]),
  ),
  ...memoryEntry("usage", (memory) => memory.usage),
  ...memoryEntry("swap", (memory) => memory.swap),
  ...memoryEntry("kernel", (memory) => memory.kernel),
  ...memoryEntry("kerneltcp", (memory) => memory.kernelTcp),
  single(
    "memory_oom_total",
    "How often a process was killed because memory was short",
    (s) => s.memoryOomControl?.oomKill,
  ),
  hugetlb("usage_bytes", "Huge pages in use", "usage"),
  hugetlb("failcnt_total", "How often the limit of huge pages was met", "failcnt"),
  hugetlb("max_bytes", "Most huge pages so far", "max"),
  ...blkioFields.map(([name, field]) =>
    several<Metrics>(`blkio_${name}`, `${name} of the block devices`, (s) => blkioValues(s.blkio?.[field])),
  ),
];
