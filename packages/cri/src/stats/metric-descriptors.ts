/** The metrics of ListPodSandboxMetrics, by the names that cAdvisor gave them. */
import { MetricType } from "@ctrd/api/cri/runtime/v1/api";

/** Labels that every metric has. */
export const baseLabels: readonly string[] = ["pod", "namespace", "container", "id", "image"];

/** One metric. */
export interface MetricKind {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  /** Labels after {@link baseLabels}. */
  readonly labels: readonly string[];
}

type Row = readonly [name: string, help: string, ...labels: string[]];

const counters: readonly Row[] = [
  ["container_cpu_user_seconds_total", "Seconds of processor time in programs."],
  ["container_cpu_system_seconds_total", "Seconds of processor time in the kernel."],
  ["container_cpu_usage_seconds_total", "Seconds of processor time."],
  ["container_cpu_cfs_periods_total", "Periods of the processor limit that have passed."],
  ["container_cpu_cfs_throttled_periods_total", "Periods in which the processor limit was reached."],
  ["container_cpu_cfs_throttled_seconds_total", "Seconds of waiting because of the processor limit."],
  ["container_memory_failcnt", "How often the memory limit was reached (0 with cgroup v2)."],
  ["container_memory_failures_total", "Page faults, by kind.", "failure_type", "scope"],
  ["container_oom_events_total", "Processes killed for want of memory."],
  ["container_network_receive_bytes_total", "Bytes received.", "interface"],
  ["container_network_receive_packets_total", "Packets received.", "interface"],
  ["container_network_receive_packets_dropped_total", "Packets dropped while receiving.", "interface"],
  ["container_network_receive_errors_total", "Errors while receiving.", "interface"],
  ["container_network_transmit_bytes_total", "Bytes sent.", "interface"],
  ["container_network_transmit_packets_total", "Packets sent.", "interface"],
  ["container_network_transmit_packets_dropped_total", "Packets dropped while sending.", "interface"],
  ["container_network_transmit_errors_total", "Errors while sending.", "interface"],
  ["container_fs_reads_bytes_total", "Bytes read from devices.", "device"],
  ["container_fs_reads_total", "Reads from devices.", "device"],
  ["container_fs_writes_bytes_total", "Bytes written to devices.", "device"],
  ["container_fs_writes_total", "Writes to devices.", "device"],
  ["container_blkio_device_usage_total", "Bytes of block I/O by operation.", "device", "major", "minor", "operation"],
];

const gauges: readonly Row[] = [
  ["container_memory_cache", "Bytes of page cache."],
  ["container_memory_rss", "Bytes of anonymous memory."],
  ["container_memory_kernel_usage", "Bytes of the kernel's own memory for the container."],
  ["container_memory_mapped_file", "Bytes of files that are mapped."],
  ["container_memory_swap", "Bytes of swap in use."],
  ["container_memory_usage_bytes", "Bytes of memory in use, caches included."],
  ["container_memory_max_usage_bytes", "Most bytes of memory that were in use."],
  ["container_memory_working_set_bytes", "Bytes of memory in use, without inactive file cache."],
  ["container_memory_total_active_file_bytes", "Bytes of active file cache."],
  ["container_memory_total_inactive_file_bytes", "Bytes of inactive file cache."],
  ["container_fs_inodes_free", "Inodes that are free.", "device"],
  ["container_fs_inodes_total", "Inodes in use by the writable layer.", "device"],
  ["container_fs_limit_bytes", "Bytes of the file system.", "device"],
  ["container_fs_usage_bytes", "Bytes in use by the writable layer.", "device"],
  ["container_processes", "Processes and threads in the container."],
  ["container_file_descriptors", "Open files of the container's processes."],
  ["container_sockets", "Open sockets of the container's processes."],
  ["container_threads_max", "Limit of processes and threads; 0 for none."],
  ["container_threads", "Threads in the container."],
  ["container_ulimits_soft", "Soft limits of the first process.", "ulimit"],
  ["container_last_seen", "When the container was looked at, in seconds since 1970."],
  ["container_start_time_seconds", "When the container was started, in seconds since 1970."],
  ["container_spec_cpu_period", "Period of the processor limit in microseconds."],
  ["container_spec_cpu_shares", "Processor shares."],
  ["container_spec_memory_limit_bytes", "Memory limit in bytes."],
  ["container_spec_memory_reservation_limit_bytes", "Soft memory limit in bytes."],
  ["container_spec_memory_swap_limit_bytes", "Limit of memory and swap together in bytes."],
];

function kinds(type: MetricType, rows: readonly Row[]): [string, MetricKind][] {
  return rows.map(([name, help, ...labels]) => [name, { name, help, type, labels }]);
}

/** By name. */
export const metricKinds: ReadonlyMap<string, MetricKind> = new Map([
  ...kinds(MetricType.COUNTER, counters),
  ...kinds(MetricType.GAUGE, gauges),
]);
