/** Metrics of a container out of the numbers of its cgroup, and of a pod out of those of its network. */
import type { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import type { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import type { Spec } from "@ctrd/oci";
import type { CgroupMetrics } from "./cgroup-metrics.ts";
import { cpuNanoseconds, memoryNumbers } from "./cgroup-metrics.ts";
import type { MetricList } from "./metric-list.ts";
import type { InterfaceCounters } from "./net-dev.ts";

const nanosPerSecond = 1_000_000_000n;
const microsPerSecond = 1_000_000n;

/** Adds all that the cgroup tells. */
export function addCgroupMetrics(list: MetricList, cgroup: CgroupMetrics): void {
  const total = cpuNanoseconds(cgroup);
  list.add("container_cpu_usage_seconds_total", total === undefined ? undefined : total / nanosPerSecond);
  const memory = memoryNumbers(cgroup);
  list.add("container_memory_usage_bytes", memory?.usage);
  list.add("container_memory_working_set_bytes", memory?.workingSet);
  list.add("container_memory_rss", memory?.rss);
  if (cgroup.version === 1) {
    addCpuV1(list, cgroup.metrics);
    addMemoryV1(list, cgroup.metrics);
    addBlockIoV1(list, cgroup.metrics);
  } else {
    addCpuV2(list, cgroup.metrics);
    addMemoryV2(list, cgroup.metrics);
    addBlockIoV2(list, cgroup.metrics);
  }
  const { pids } = cgroup.metrics;
  list.add("container_processes", pids?.current);
  list.add("container_threads_max", pids?.limit);
  // With cgroup v1 it is not known which of them are threads.
  if (cgroup.version === 2) list.add("container_threads", pids?.current);
}

function addCpuV1(list: MetricList, { cpu }: MetricsV1): void {
  const seconds = (nanos: bigint | undefined): bigint | undefined => nanos && nanos / nanosPerSecond;
  list.add("container_cpu_user_seconds_total", seconds(cpu?.usage?.user));
  list.add("container_cpu_system_seconds_total", seconds(cpu?.usage?.kernel));
  list.add("container_cpu_cfs_periods_total", cpu?.throttling?.periods);
  list.add("container_cpu_cfs_throttled_periods_total", cpu?.throttling?.throttledPeriods);
  list.add("container_cpu_cfs_throttled_seconds_total", seconds(cpu?.throttling?.throttledTime));
}

function addCpuV2(list: MetricList, { cpu }: MetricsV2): void {
  const seconds = (micros: bigint | undefined): bigint | undefined => micros && micros / microsPerSecond;
  list.add("container_cpu_user_seconds_total", seconds(cpu?.userUsec));
  list.add("container_cpu_system_seconds_total", seconds(cpu?.systemUsec));
  list.add("container_cpu_cfs_periods_total", cpu?.nrPeriods);
  list.add("container_cpu_cfs_throttled_periods_total", cpu?.nrThrottled);
  list.add("container_cpu_cfs_throttled_seconds_total", seconds(cpu?.throttledUsec));
}

function addMemoryV1(list: MetricList, { memory, memoryOomControl }: MetricsV1): void {
  list.add("container_memory_max_usage_bytes", memory?.usage?.max);
  list.add("container_memory_failcnt", memory?.usage?.failcnt);
  list.add("container_memory_cache", memory?.totalCache);
  list.add("container_memory_mapped_file", memory?.totalMappedFile);
  list.add("container_memory_total_active_file_bytes", memory?.totalActiveFile);
  list.add("container_memory_total_inactive_file_bytes", memory?.totalInactiveFile);
  list.add("container_memory_kernel_usage", memory?.kernel?.usage);
  list.add("container_memory_swap", memory?.swap?.usage);
  list.add("container_memory_failures_total", memory?.pgFault, "pgfault", "container");
  list.add("container_memory_failures_total", memory?.pgMajFault, "pgmajfault", "container");
  list.add("container_memory_failures_total", memory?.totalPgFault, "pgfault", "hierarchy");
  list.add("container_memory_failures_total", memory?.totalPgMajFault, "pgmajfault", "hierarchy");
  list.add("container_oom_events_total", memoryOomControl?.oomKill);
}

function addMemoryV2(list: MetricList, { memory, memoryEvents }: MetricsV2): void {
  list.add("container_memory_max_usage_bytes", memory?.maxUsage);
  list.add("container_memory_failcnt", memory && 0n);
  list.add("container_memory_cache", memory?.file);
  list.add("container_memory_mapped_file", memory?.fileMapped);
  list.add("container_memory_total_active_file_bytes", memory?.activeFile);
  list.add("container_memory_total_inactive_file_bytes", memory?.inactiveFile);
  list.add("container_memory_kernel_usage", memory?.kernelStack);
  list.add("container_memory_swap", memory?.swapUsage);
  list.add("container_memory_failures_total", memory?.pgfault, "pgfault", "container");
  list.add("container_memory_failures_total", memory?.pgmajfault, "pgmajfault", "container");
  list.add("container_oom_events_total", memoryEvents?.oomKill);
}

function addBlockIoV1(list: MetricList, { blkio }: MetricsV1): void {
  for (const { op, device, major, minor, value } of blkio?.ioServiceBytesRecursive ?? []) {
    list.add("container_blkio_device_usage_total", value, device, String(major), String(minor), op);
    if (op.toLowerCase() === "read") list.add("container_fs_reads_bytes_total", value, device);
    if (op.toLowerCase() === "write") list.add("container_fs_writes_bytes_total", value, device);
  }
  for (const { op, device, value } of blkio?.ioServicedRecursive ?? []) {
    if (op.toLowerCase() === "read") list.add("container_fs_reads_total", value, device);
    if (op.toLowerCase() === "write") list.add("container_fs_writes_total", value, device);
  }
}

function addBlockIoV2(list: MetricList, { io }: MetricsV2): void {
  for (const { major, minor, rbytes, wbytes, rios, wios } of io?.usage ?? []) {
    const device = `${major}:${minor}`;
    list.add("container_fs_reads_bytes_total", rbytes, device);
    list.add("container_fs_writes_bytes_total", wbytes, device);
    list.add("container_fs_reads_total", rios, device);
    list.add("container_fs_writes_total", wios, device);
  }
}

/** Adds the limits that the container was made with. */
export function addSpecMetrics(list: MetricList, spec: Spec): void {
  const { cpu, memory } = spec.linux?.resources ?? {};
  const number = (value: number | bigint | undefined): bigint | undefined =>
    value === undefined || value < 0 ? undefined : BigInt(value);
  list.add("container_spec_cpu_period", number(cpu?.period));
  list.add("container_spec_cpu_shares", number(cpu?.shares));
  list.add("container_spec_memory_limit_bytes", number(memory?.limit));
  list.add("container_spec_memory_reservation_limit_bytes", number(memory?.reservation));
  list.add("container_spec_memory_swap_limit_bytes", number(memory?.swap));
  for (const { type, soft } of spec.process?.rlimits ?? []) list.add("container_ulimits_soft", number(soft), type);
}

/** Adds what went through an interface of the pod. */
export function addNetworkMetrics(list: MetricList, { name, received, sent }: InterfaceCounters): void {
  list.add("container_network_receive_bytes_total", received.bytes, name);
  list.add("container_network_receive_packets_total", received.packets, name);
  list.add("container_network_receive_packets_dropped_total", received.dropped, name);
  list.add("container_network_receive_errors_total", received.errors, name);
  list.add("container_network_transmit_bytes_total", sent.bytes, name);
  list.add("container_network_transmit_packets_total", sent.packets, name);
  list.add("container_network_transmit_packets_dropped_total", sent.dropped, name);
  list.add("container_network_transmit_errors_total", sent.errors, name);
}
