/**
 * What a cgroup of version 2 tells.
 *
 * @module
 */
import type { IOEntry, MemoryStat, Metrics } from "@ctrd/api/cgroups/v2/metrics";
import type { Family } from "./family.ts";
import { several, single } from "./family.ts";

type Numbers<T> = { [K in keyof T]: T[K] extends bigint ? K : never }[keyof T];

const memoryFields: readonly [name: string, field: Numbers<MemoryStat>][] = [
  ["usage", "usage"],
  ["usage_limit", "usageLimit"],
  ["swap_usage", "swapUsage"],
  ["swap_limit", "swapLimit"],
  ["file_mapped", "fileMapped"],
  ["file_dirty", "fileDirty"],
  ["file_writeback", "fileWriteback"],
  ["pgactivate", "pgactivate"],
  ["pgdeactivate", "pgdeactivate"],
  ["pgfault", "pgfault"],
  ["pgmajfault", "pgmajfault"],
  ["pglazyfree", "pglazyfree"],
  ["pgrefill", "pgrefill"],
  ["pglazyfreed", "pglazyfreed"],
  ["pgscan", "pgscan"],
  ["pgsteal", "pgsteal"],
  ["inactive_anon", "inactiveAnon"],
  ["active_anon", "activeAnon"],
  ["inactive_file", "inactiveFile"],
  ["active_file", "activeFile"],
  ["unevictable", "unevictable"],
  ["anon", "anon"],
  ["file", "file"],
  ["kernel_stack", "kernelStack"],
  ["slab", "slab"],
  ["sock", "sock"],
  ["shmem", "shmem"],
  ["anon_thp", "anonThp"],
  ["slab_reclaimable", "slabReclaimable"],
  ["slab_unreclaimable", "slabUnreclaimable"],
  ["workingset_refault", "workingsetRefault"],
  ["workingset_activate", "workingsetActivate"],
  ["workingset_nodereclaim", "workingsetNodereclaim"],
  ["thp_fault_alloc", "thpFaultAlloc"],
  ["thp_collapse_alloc", "thpCollapseAlloc"],
];

const io = (name: string, help: string, field: "rbytes" | "wbytes" | "rios" | "wios"): Family<Metrics> =>
  several(`io_${name}`, help, (s) =>
    s.io?.usage.map((entry: IOEntry) => ({
      value: Number(entry[field]),
      labels: { major: String(entry.major), minor: String(entry.minor) },
    })),
  );

/** containerd's metrics of version 2. */
export const familiesV2: readonly Family<Metrics>[] = [
  single("pids_limit", "Most processes that are allowed", (s) => s.pids?.limit),
  single("pids_current", "Processes", (s) => s.pids?.current),
  single("cpu_usage_usec_microseconds", "Processor time", (s) => s.cpu?.usageUsec),
  single("cpu_user_usec_microseconds", "Processor time in user space", (s) => s.cpu?.userUsec),
  single("cpu_system_usec_microseconds", "Processor time in the kernel", (s) => s.cpu?.systemUsec),
  single("cpu_nr_periods_total", "Periods that the quota was looked at", (s) => s.cpu?.nrPeriods),
  single("cpu_nr_throttled_total", "Periods cut short", (s) => s.cpu?.nrThrottled),
  single("cpu_throttled_usec_microseconds", "Time without processor", (s) => s.cpu?.throttledUsec),
  ...memoryFields.map(([name, field]) =>
    single<Metrics>(`memory_${name}_bytes`, `${name} of the memory controller`, (s) => s.memory?.[field]),
  ),
  single(
    "memory_oom_total",
    "How often the memory limit was met and nothing could be freed",
    (s) => s.memoryEvents?.oom,
  ),
  io("rbytes_bytes", "Bytes read", "rbytes"),
  io("wbytes_bytes", "Bytes written", "wbytes"),
  io("rios_total", "Reads", "rios"),
  io("wios_total", "Writes", "wios"),
];
