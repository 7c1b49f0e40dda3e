/** What pods use beside what their containers do. */
import type { CpuUsage, MemoryUsage, NetworkUsage, UInt64Value } from "@ctrd/api/cri/runtime/v1/api";
import type { InterfaceCounters } from "./net-dev.ts";
import type { CgroupUsage } from "./usage.ts";
import { uint64 } from "./usage.ts";

/** The interface of the pod's own network. */
export const podInterface = "eth0";

/** Network numbers; the default interface is `eth0`, or the first where there is none. */
export function networkUsage(interfaces: readonly InterfaceCounters[], timestamp: bigint): NetworkUsage {
  const all = interfaces.map(({ name, received, sent }) => ({
    name,
    rxBytes: uint64(received.bytes),
    rxErrors: uint64(received.errors),
    txBytes: uint64(sent.bytes),
    txErrors: uint64(sent.errors),
  }));
  return { timestamp, defaultInterface: all.find(({ name }) => name === podInterface) ?? all[0], interfaces: all };
}

/** The sum of what several cgroups use, for a pod without a cgroup of its own. */
export function sumUsage(usages: readonly CgroupUsage[], timestamp: bigint): CgroupUsage {
  const cpus = usages.map(({ cpu }) => cpu).filter((cpu) => cpu !== undefined);
  const memories = usages.map(({ memory }) => memory).filter((memory) => memory !== undefined);
  return {
    cpu: cpus.length === 0 ? undefined : sumCpu(cpus, timestamp),
    memory: memories.length === 0 ? undefined : sumMemory(memories, timestamp),
    swap: undefined,
    io: undefined,
  };
}

function sumCpu(cpus: readonly CpuUsage[], timestamp: bigint): CpuUsage {
  return {
    timestamp,
    usageCoreNanoSeconds: sum(cpus.map(({ usageCoreNanoSeconds }) => usageCoreNanoSeconds)),
    usageNanoCores: sum(cpus.map(({ usageNanoCores }) => usageNanoCores)),
    psi: undefined,
  };
}

function sumMemory(memories: readonly MemoryUsage[], timestamp: bigint): MemoryUsage {
  return {
    timestamp,
    workingSetBytes: sum(memories.map(({ workingSetBytes }) => workingSetBytes)),
    availableBytes: sum(memories.map(({ availableBytes }) => availableBytes)),
    usageBytes: sum(memories.map(({ usageBytes }) => usageBytes)),
    rssBytes: sum(memories.map(({ rssBytes }) => rssBytes)),
    pageFaults: sum(memories.map(({ pageFaults }) => pageFaults)),
    majorPageFaults: sum(memories.map(({ majorPageFaults }) => majorPageFaults)),
    psi: undefined,
  };
}

/** Absent when one of them is. */
function sum(values: readonly (UInt64Value | undefined)[]): UInt64Value | undefined {
  let total = 0n;
  for (const value of values) {
    if (value === undefined) return undefined;
    total += value.value;
  }
  return uint64(total);
}
