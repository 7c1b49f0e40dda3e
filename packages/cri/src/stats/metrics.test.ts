/** Metrics by cAdvisor's names. */
import { expect, test } from "vitest";
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import { addCgroupMetrics, addNetworkMetrics, addSpecMetrics } from "./container-metrics.ts";
import type { CgroupMetrics } from "./cgroup-metrics.ts";
import { baseLabels, metricKinds } from "./metric-descriptors.ts";
import { MetricList } from "./metric-list.ts";

const labels = ["pod", "ns", "ctr", "id", "image"];

/** `name{further labels} = value` */
function lines(list: MetricList): string[] {
  return list.metrics.map(({ name, labelValues, value }) => {
    expect(labelValues.slice(0, 5)).toEqual(labels);
    const own = labelValues.slice(5).join(",");
    return `${name}${own === "" ? "" : `{${own}}`} ${value?.value}`;
  });
}

function cgroupLines(cgroup: CgroupMetrics): string[] {
  const list = new MetricList(labels, 1n);
  addCgroupMetrics(list, cgroup);
  return lines(list);
}

const second = 1_000_000_000n;

test("cgroup v1", () => {
  const metrics = MetricsV1.create({
    pids: { current: 2n, limit: 100n },
    cpu: {
      usage: { total: 5n * second, user: 3n * second, kernel: 2n * second },
      throttling: { periods: 7n, throttledPeriods: 6n, throttledTime: 4n * second },
    },
    memory: {
      usage: { usage: 100n, limit: 200n, max: 150n, failcnt: 3n },
      swap: { usage: 120n },
      kernel: { usage: 11n },
      totalCache: 12n,
      totalMappedFile: 13n,
      totalRss: 14n,
      totalActiveFile: 15n,
      totalInactiveFile: 16n,
      pgFault: 17n,
      pgMajFault: 18n,
      totalPgFault: 19n,
      totalPgMajFault: 20n,
    },
    blkio: {
      ioServiceBytesRecursive: [
        { op: "Read", device: "/dev/vda", major: 254n, minor: 0n, value: 21n },
        { op: "Write", device: "/dev/vda", major: 254n, minor: 0n, value: 22n },
        { op: "Sync", device: "/dev/vda", major: 254n, minor: 0n, value: 23n },
      ],
      ioServicedRecursive: [
        { op: "read", device: "/dev/vda", major: 254n, minor: 0n, value: 24n },
        { op: "write", device: "/dev/vda", major: 254n, minor: 0n, value: 25n },
      ],
    },
    memoryOomControl: { oomKill: 26n },
  });
  expect(cgroupLines({ version: 1, metrics }).toSorted()).toEqual([
    "container_blkio_device_usage_total{/dev/vda,254,0,Read} 21",
    "container_blkio_device_usage_total{/dev/vda,254,0,Sync} 23",
    "container_blkio_device_usage_total{/dev/vda,254,0,Write} 22",
    "container_cpu_cfs_periods_total 7",
    "container_cpu_cfs_throttled_periods_total 6",
    "container_cpu_cfs_throttled_seconds_total 4",
    "container_cpu_system_seconds_total 2",
    "container_cpu_usage_seconds_total 5",
    "container_cpu_user_seconds_total 3",
    "container_fs_reads_bytes_total{/dev/vda} 21",
    "container_fs_reads_total{/dev/vda} 24",
    "container_fs_writes_bytes_total{/dev/vda} 22",
    "container_fs_writes_total{/dev/vda} 25",
    "container_memory_cache 12",
    "container_memory_failcnt 3",
    "container_memory_failures_total{pgfault,container} 17",
    "container_memory_failures_total{pgfault,hierarchy} 19",
    "container_memory_failures_total{pgmajfault,container} 18",
    "container_memory_failures_total{pgmajfault,hierarchy} 20",
    "container_memory_kernel_usage 11",
    "container_memory_mapped_file 13",
    "container_memory_max_usage_bytes 150",
    "container_memory_rss 14",
    "container_memory_swap 120",
    "container_memory_total_active_file_bytes 15",
    "container_memory_total_inactive_file_bytes 16",
    "container_memory_usage_bytes 100",
    "container_memory_working_set_bytes 84",
    "container_oom_events_total 26",
    "container_processes 2",
    "container_threads_max 100",
  ]);
});

test("cgroup v2", () => {
  const metrics = MetricsV2.create({
    pids: { current: 2n, limit: 100n },
    cpu: {
      usageUsec: 5_000_000n,
      userUsec: 3_000_000n,
      systemUsec: 2_000_000n,
      nrPeriods: 7n,
      nrThrottled: 6n,
      throttledUsec: 4_000_000n,
    },
    memory: {
      usage: 100n,
      maxUsage: 150n,
      swapUsage: 9n,
      kernelStack: 11n,
      file: 12n,
      fileMapped: 13n,
      anon: 14n,
      activeFile: 15n,
      inactiveFile: 16n,
      pgfault: 17n,
      pgmajfault: 18n,
    },
    io: { usage: [{ major: 254n, minor: 1n, rbytes: 21n, wbytes: 22n, rios: 24n, wios: 25n }] },
    memoryEvents: { oomKill: 26n },
  });
  expect(cgroupLines({ version: 2, metrics }).toSorted()).toEqual([
    "container_cpu_cfs_periods_total 7",
    "container_cpu_cfs_throttled_periods_total 6",
    "container_cpu_cfs_throttled_seconds_total 4",
    "container_cpu_system_seconds_total 2",
    "container_cpu_usage_seconds_total 5",
    "container_cpu_user_seconds_total 3",
    "container_fs_reads_bytes_total{254:1} 21",
    "container_fs_reads_total{254:1} 24",
    "container_fs_writes_bytes_total{254:1} 22",
    "container_fs_writes_total{254:1} 25",
    "container_memory_cache 12",
    "container_memory_failcnt 0",
    "container_memory_failures_total{pgfault,container} 17",
    "container_memory_failures_total{pgmajfault,container} 18",
    "container_memory_kernel_usage 11",
    "container_memory_mapped_file 13",
    "container_memory_max_usage_bytes 150",
    "container_memory_rss 14",
    "container_memory_swap 9",
    "container_memory_total_active_file_bytes 15",
    "container_memory_total_inactive_file_bytes 16",
    "container_memory_usage_bytes 100",
    "container_memory_working_set_bytes 84",
    "container_oom_events_total 26",
    "container_processes 2",
    "container_threads 2",
    "container_threads_max 100",
  ]);
});

test("an empty cgroup has no metrics", () => {
  expect(cgroupLines({ version: 1, metrics: MetricsV1.create() })).toEqual([]);
  expect(cgroupLines({ version: 2, metrics: MetricsV2.create() })).toEqual([]);
});

test("limits of the spec, and the network", () => {
  const list = new MetricList(labels, 1n);
  addSpecMetrics(list, {
    ociVersion: "1.2.1",
    process: {
      user: { uid: 0, gid: 0 },
      cwd: "/",
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 2, soft: 2n ** 64n - 1n }],
    },
    linux: {
      resources: { cpu: { period: 100_000, shares: 512 }, memory: { limit: 1000, reservation: 500, swap: -1 } },
    },
  });
  const direction = { bytes: 1n, packets: 2n, errors: 3n, dropped: 4n };
  addNetworkMetrics(list, { name: "eth0", received: direction, sent: direction });
  expect(lines(list)).toEqual([
    "container_spec_cpu_period 100000",
    "container_spec_cpu_shares 512",
    "container_spec_memory_limit_bytes 1000",
    "container_spec_memory_reservation_limit_bytes 500",
    "container_ulimits_soft{RLIMIT_NOFILE} 18446744073709551615",
    "container_network_receive_bytes_total{eth0} 1",
    "container_network_receive_packets_total{eth0} 2",
    "container_network_receive_packets_dropped_total{eth0} 4",
    "container_network_receive_errors_total{eth0} 3",
    "container_network_transmit_bytes_total{eth0} 1",
    "container_network_transmit_packets_total{eth0} 2",
    "container_network_transmit_packets_dropped_total{eth0} 4",
    "container_network_transmit_errors_total{eth0} 3",
  ]);
});

test("every metric is described; a wrong one is a mistake of ours", () => {
  expect(baseLabels).toHaveLength(5);
  for (const [name, { help }] of metricKinds) {
    expect(name).toMatch(/^container_[a-z_]+$/);
    expect(help).toMatch(/\.$/);
  }
  const list = new MetricList(labels, 1n);
  expect(() => list.add("container_nothing", 1n)).toThrow("container_nothing");
  expect(() => list.add("container_fs_reads_total", 1n)).toThrow("container_fs_reads_total");
});
