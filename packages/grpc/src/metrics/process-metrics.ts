import type { DaemonInfo } from "@ctrd/core/plugin";
import type { MetricsWriter } from "@ctrd/services";
import { readdir, readFile } from "node:fs/promises";
import { memoryUsage } from "node:process";

/** What is read from the kernel before metrics are written. */
export interface ProcessReading {
  readonly openFds: number;
  readonly maxFds: number;
  readonly virtualBytes: number;
  readonly maxVirtualBytes: number;
}

/** Reads what Node does not tell about its own process. */
export async function readProcess(): Promise<ProcessReading> {
  const [fds, limits, statm] = await Promise.all([
    readdir("/proc/self/fd"),
    readFile("/proc/self/limits", "utf8"),
    readFile("/proc/self/statm", "utf8"),
  ]);
  const maxFds = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
  const most = /^Max address space\s+(\d+|unlimited)/m.exec(limits)?.[1] ?? "unlimited";
  const pages = Number(statm.split(" ")[0]);
  const maxVirtualBytes = most === "unlimited" ? 2 ** 64 : Number(most);
  return { openFds: fds.length, maxFds, virtualBytes: pages * 4096, maxVirtualBytes };
}

/** Seconds since the epoch at which this process started. */
const startTime = Date.now() / 1000 - process.uptime();

/** Writes metrics of this process and its version. */
export function writeProcess(writer: MetricsWriter, reading: ProcessReading, daemon: DaemonInfo): void {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, heapTotal, external } = memoryUsage();
  const { version, revision } = daemon;
  writer.family("containerd_build_info_total", "counter", "Version of the daemon.");
  writer.sample("containerd_build_info_total", { version, revision }, 1);
  writer.family("process_cpu_seconds_total", "counter", "User and system CPU time in seconds.");
  writer.sample("process_cpu_seconds_total", {}, (user + system) / 1e6);
  const gauges: [string, number, string][] = [
    ["process_resident_memory_bytes", rss, "Resident memory in bytes."],
    ["process_virtual_memory_bytes", reading.virtualBytes, "Virtual memory in bytes."],
    ["process_virtual_memory_max_bytes", reading.maxVirtualBytes, "Limit of virtual memory in bytes."],
    ["process_open_fds", reading.openFds, "Open file descriptors."],
    ["process_max_fds", reading.maxFds, "Limit of open file descriptors."],
    ["process_start_time_seconds", startTime, "Start of the process, in seconds since the epoch."],
    ["nodejs_heap_size_used_bytes", heapUsed, "JavaScript heap in use, in bytes."],
    ["nodejs_heap_size_total_bytes", heapTotal, "JavaScript heap reserved, in bytes."],
    ["nodejs_external_memory_bytes", external, "Memory of buffers outside the heap, in bytes."],
  ];
  for (const [name, value, help] of gauges) {
    writer.family(name, "gauge", help);
    writer.sample(name, {}, value);
  }
}
