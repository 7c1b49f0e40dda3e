/** Numbers of a pod's cgroup, read from its files. */
import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import type { PSIStats } from "@ctrd/api/cgroups/v2/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import { errnoOf } from "@ctrd/core/errors";
import type { CgroupMetrics } from "./cgroup-metrics.ts";

const tree = "/sys/fs/cgroup";
/** How cgroup v1 writes that there is no limit, and what no limit of v2 becomes. */
const unlimited = 2n ** 63n - 1n;

/**
 * Reads what a pod uses.
 *
 * @param parent `cgroup_parent` of the pod: a path, or the name of a slice
 * @param root where the cgroup trees are
 * @returns `undefined` when there is no such cgroup
 */
export async function readPodCgroup(
  parent: string,
  cgroup2: boolean,
  root: string = tree,
): Promise<CgroupMetrics | undefined> {
  if (parent === "") return undefined;
  const path = posix.join("/", slicePath(parent));
  return cgroup2 ? readV2(posix.join(root, path)) : readV1((controller) => posix.join(root, controller, path));
}

/** Where systemd puts a slice: `a-b.slice` is in `a.slice`. A path is taken as it is. */
function slicePath(parent: string): string {
  const name = parent.startsWith("/") ? parent.slice(1) : parent;
  if (name.includes("/") || !name.endsWith(".slice")) return parent;
  const words = name.slice(0, -".slice".length).split("-");
  return words.map((_word, index) => `${words.slice(0, index + 1).join("-")}.slice`).join("/");
}

async function readV1(directory: (controller: string) => string): Promise<CgroupMetrics | undefined> {
  const [cpu, memory] = [directory("cpuacct"), directory("memory")];
  const [total, usage, limit, swapUsage, swapLimit, memoryStat] = await Promise.all([
    readNumber(cpu, "cpuacct.usage"),
    readNumber(memory, "memory.usage_in_bytes"),
    readNumber(memory, "memory.limit_in_bytes"),
    readNumber(memory, "memory.memsw.usage_in_bytes"),
    readNumber(memory, "memory.memsw.limit_in_bytes"),
    readPairs(memory, "memory.stat"),
  ]);
  if (total === undefined && usage === undefined) return undefined;
  const stat = (key: string): bigint => memoryStat.get(key) ?? 0n;
  const metrics = MetricsV1.create({
    ...(total === undefined ? {} : { cpu: { usage: { total } } }),
    ...(usage === undefined
      ? {}
      : {
          memory: {
            usage: { usage, limit: limit ?? unlimited },
            ...(swapUsage === undefined ? {} : { swap: { usage: swapUsage, limit: swapLimit ?? unlimited } }),
            totalInactiveFile: stat("total_inactive_file"),
            totalRss: stat("total_rss"),
            totalPgFault: stat("total_pgfault"),
            totalPgMajFault: stat("total_pgmajfault"),
          },
        }),
  });
  return { version: 1, metrics };
}

async function readV2(directory: string): Promise<CgroupMetrics | undefined> {
  const [cpu, usage, limit, swapUsage, swapLimit, stat] = await Promise.all([
    readPairs(directory, "cpu.stat"),
    readNumber(directory, "memory.current"),
    readNumber(directory, "memory.max"),
    readNumber(directory, "memory.swap.current"),
    readNumber(directory, "memory.swap.max"),
    readPairs(directory, "memory.stat"),
  ]);
  const [cpuPressure, memoryPressure, ioPressure] = await Promise.all(
    ["cpu", "memory", "io"].map((kind) => readPressure(directory, `${kind}.pressure`)),
  );
  const usageUsec = cpu.get("usage_usec");
  if (usageUsec === undefined && usage === undefined) return undefined;
  const of = (key: string): bigint => stat.get(key) ?? 0n;
  const metrics = MetricsV2.create({
    ...(usageUsec === undefined
      ? {}
      : { cpu: { usageUsec, ...(cpuPressure === undefined ? {} : { psi: cpuPressure }) } }),
    ...(ioPressure === undefined ? {} : { io: { psi: ioPressure } }),
    ...(usage === undefined
      ? {}
      : {
          memory: {
            usage,
            usageLimit: limit ?? unlimited,
            swapUsage: swapUsage ?? 0n,
            swapLimit: swapLimit ?? unlimited,
            anon: of("anon"),
            inactiveFile: of("inactive_file"),
            pgfault: of("pgfault"),
            pgmajfault: of("pgmajfault"),
            ...(memoryPressure === undefined ? {} : { psi: memoryPressure }),
          },
        }),
  });
  return { version: 2, metrics };
}

/** `undefined` where there is no such file; no limit (`max`) is the largest number. */
async function readNumber(directory: string, name: string): Promise<bigint | undefined> {
  const text = (await readText(posix.join(directory, name)))?.trim();
  if (text === undefined || text === "") return undefined;
  return text === "max" ? unlimited : BigInt(text);
}

/** Lines `key number`. */
async function readPairs(directory: string, name: string): Promise<Map<string, bigint>> {
  const text = (await readText(posix.join(directory, name))) ?? "";
  const pairs = [...text.matchAll(/^(\S+) (\d+)$/gm)];
  return new Map(pairs.map(([, key = "", value = "0"]) => [key, BigInt(value)]));
}

/** Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
async function readPressure(directory: string, name: string): Promise<PSIStats | undefined> {
  const text = await readText(posix.join(directory, name));
  if (text === undefined) return undefined;
  const part = (kind: string): PSIStats["some"] => {
    const line = new RegExp(`^${kind} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=(\\d+)$`, "m").exec(text);
    if (line === null) return undefined;
    const [, avg10, avg60, avg300, total = "0"] = line;
    return { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), total: BigInt(total) };
  };
  return { some: part("some"), full: part("full") };
}

/** `undefined` when the file or the whole cgroup is gone, or the kernel was told not to count (pressure). */
async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENODEV", "ENOTDIR", "EOPNOTSUPP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
