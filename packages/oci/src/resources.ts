/**
 * Cgroup limits and the place in the cgroup tree.
 *
 * @module
 */
import { posix } from "node:path";
import { invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { linuxOf, resourcesOf } from "./context.ts";
import { maxInt64, requireInteger } from "./integers.ts";
import { setEntries } from "./records.ts";
import type { SpecInteger } from "./spec.ts";
import type { BlockIo, Cpu, Memory } from "./spec-linux.ts";

/** Sets processor limits; those not named stay. */
export function withCpu(cpu: Readonly<Cpu>): SpecOption {
  const { cpus = "", mems = "", quota = 0, realtimeRuntime = 0, ...counts } = cpu;
  for (const [key, value] of Object.entries(counts)) requireInteger(`cpu ${key}`, value, 0n, maxInt64);
  for (const [key, value] of Object.entries({ quota, realtimeRuntime })) {
    requireInteger(`cpu ${key}`, value, -1n, maxInt64);
  }
  for (const list of [cpus, mems]) {
    if (!/^(\d+(-\d+)?(,\d+(-\d+)?)*)?$/.test(list)) throw invalidArgument(`"${list}" is no list such as 0-2,4`);
  }
  return (_context, spec) => {
    const resources = resourcesOf(spec);
    resources.cpu = { ...resources.cpu, ...cpu };
  };
}

/** Limits the container to this many processors' time, as 1.5. */
export function withCpuLimit(processors: number): SpecOption {
  const period = 100_000;
  const quota = Math.trunc(processors * period);
  // The kernel's smallest quota is a millisecond.
  if (!Number.isSafeInteger(quota) || quota < 1000) {
    throw invalidArgument(`processor limit ${processors} is not a number of at least 0.01`);
  }
  return withCpu({ quota, period });
}

/** Sets memory limits in bytes (-1: none); those not named stay. `swap` counts memory and swap together. */
export function withMemory(memory: Readonly<Memory>): SpecOption {
  for (const [key, value] of Object.entries(memory)) {
    if (typeof value !== "boolean") requireInteger(`memory ${key}`, value, key === "swappiness" ? 0n : -1n, maxInt64);
  }
  const { limit = -1, swap = -1 } = memory;
  if (BigInt(swap) >= 0n && BigInt(limit) > BigInt(swap)) {
    throw invalidArgument(`memory and swap together (${swap}) are less than memory (${limit})`);
  }
  return (_context, spec) => {
    const resources = resourcesOf(spec);
    resources.memory = { ...resources.memory, ...memory };
  };
}

/** Limits the number of processes and threads; -1 is no limit. */
export function withPidsLimit(limit: SpecInteger): SpecOption {
  requireInteger("limit of processes", limit, -1n, maxInt64);
  return (_context, spec) => {
    resourcesOf(spec).pids = { limit };
  };
}

/** Sets weights (10 … 1000) and rate limits of block devices; those not named stay. */
export function withBlockIo(blockIo: Readonly<BlockIo>): SpecOption {
  for (const weight of [blockIo.weight, blockIo.leafWeight]) {
    if (weight !== undefined) requireInteger("block I/O weight", weight, 10n, 1000n);
  }
  return (_context, spec) => {
    const resources = resourcesOf(spec);
    resources.blockIO = { ...resources.blockIO, ...structuredClone(blockIo) };
  };
}

/** Limits the bytes in huge pages of one size, such as `2MB`. */
export function withHugepageLimit(pageSize: string, limit: SpecInteger): SpecOption {
  if (!/^[1-9]\d*[KMG]B$/.test(pageSize))
    throw invalidArgument(`huge page size "${pageSize}" is not like 64KB, 2MB, 1GB`);
  requireInteger(`limit of ${pageSize} pages`, limit, 0n, maxInt64);
  return (_context, spec) => {
    const resources = resourcesOf(spec);
    const others = (resources.hugepageLimits ?? []).filter((entry) => entry.pageSize !== pageSize);
    resources.hugepageLimits = [...others, { pageSize, limit }];
  };
}

/** Writes to files of cgroup v2, such as `memory.high`. */
export function withUnifiedResources(files: Readonly<Record<string, string>>): SpecOption {
  return (_context, spec) => {
    const resources = resourcesOf(spec);
    resources.unified = setEntries(resources.unified, files);
  };
}

/** Puts the container into this cgroup: a path, `slice:prefix:name` for the systemd driver, or "" for the runtime's choice. */
export function withCgroup(path: string): SpecOption {
  if (path.includes("\0")) throw invalidArgument("cgroup path has a zero byte");
  return (_context, spec) => {
    if (path === "") delete linuxOf(spec).cgroupsPath;
    else linuxOf(spec).cgroupsPath = path;
  };
}

/** Options of {@link withCgroupParent}. */
export interface CgroupParentOptions {
  /** Whether systemd makes the cgroup; the parent is a slice then. */
  systemd?: boolean;
  /** Of the unit's name with systemd; `ctrd` when absent. */
  prefix?: string;
}

/** Puts the container below this cgroup, under its own id. */
export function withCgroupParent(parent: string, options: CgroupParentOptions = {}): SpecOption {
  const { systemd = false, prefix = "ctrd" } = options;
  if (parent === "" || parent.includes("\0")) throw invalidArgument("cgroup parent is empty or has a zero byte");
  const slice = posix.basename(parent);
  if (systemd && !/^[^:]+\.slice$/.test(slice)) {
    throw invalidArgument(`cgroup parent "${parent}" is no slice (with systemd its name ends in .slice)`);
  }
  return (context, spec) => {
    const path = systemd ? `${slice}:${prefix}:${context.id}` : posix.join("/", parent, context.id);
    linuxOf(spec).cgroupsPath = path;
  };
}
