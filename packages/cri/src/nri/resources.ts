/**
 * Limits of specs as NRI's messages have them, and back.
 *
 * @module
 */
import type { LinuxContainerResources } from "@ctrd/api/cri/runtime/v1/api";
import type { LinuxCPU, LinuxMemory } from "@ctrd/api/nri/v1alpha1/api";
import { LinuxResources } from "@ctrd/api/nri/v1alpha1/api";
import type { SpecInteger } from "@ctrd/oci";
import type { SpecResources } from "./spec-types.ts";

type SpecMemory = NonNullable<SpecResources["memory"]>;
type SpecCpu = NonNullable<SpecResources["cpu"]>;

const memoryNames = [
  ["limit", "limit"],
  ["reservation", "reservation"],
  ["swap", "swap"],
  ["kernel", "kernel"],
  ["kernelTcp", "kernelTCP"],
  ["swappiness", "swappiness"],
] as const satisfies readonly (readonly [keyof LinuxMemory, keyof SpecMemory])[];

const cpuNames = ["shares", "quota", "period", "realtimeRuntime", "realtimePeriod"] as const;

/** Limits of a spec as a message. */
export function nriResources(resources: SpecResources | undefined): LinuxResources {
  const { memory, cpu, pids, hugepageLimits = [], unified = {}, devices = [] } = resources ?? {};
  return LinuxResources.create({
    memory: memory === undefined ? undefined : nriMemory(memory),
    cpu: cpu === undefined ? undefined : nriCpu(cpu),
    pids: pids === undefined ? undefined : { limit: BigInt(pids.limit) },
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit: BigInt(limit) })),
    unified: new Map(Object.entries(unified)),
    devices: devices.map(({ allow, type = "", major, minor, access = "" }) => ({
      allow,
      type,
      access,
      major: optional(major),
      minor: optional(minor),
    })),
  });
}

function nriMemory(memory: SpecMemory): Partial<LinuxMemory> {
  const values = memoryNames.map(([name, key]) => [name, optional(memory[key])]);
  const { disableOOMKiller, useHierarchy } = memory;
  return {
    ...Object.fromEntries(values),
    ...(disableOOMKiller === undefined ? {} : { disableOomKiller: { value: disableOOMKiller } }),
    ...(useHierarchy === undefined ? {} : { useHierarchy: { value: useHierarchy } }),
  };
}

function nriCpu(cpu: SpecCpu): Partial<LinuxCPU> {
  const values = cpuNames.map((name) => [name, optional(cpu[name])]);
  return { ...Object.fromEntries(values), cpus: cpu.cpus ?? "", mems: cpu.mems ?? "" };
}

function optional(value: SpecInteger | undefined): { value: bigint } | undefined {
  return value === undefined ? undefined : { value: BigInt(value) };
}

/** Limits of a request of CRI as a message; zero and empty are no limit. */
export function nriRequest(asked: LinuxContainerResources | undefined): LinuxResources | undefined {
  if (asked === undefined) return undefined;
  const set = (value: bigint): { value: bigint } | undefined => (value === 0n ? undefined : { value });
  return LinuxResources.create({
    memory: {
      ...optionalField("limit", set(asked.memoryLimitInBytes)),
      ...optionalField("swap", set(asked.memorySwapLimitInBytes)),
    },
    cpu: {
      ...optionalField("shares", set(asked.cpuShares)),
      ...optionalField("quota", set(asked.cpuQuota)),
      ...optionalField("period", set(asked.cpuPeriod)),
      cpus: asked.cpusetCpus,
      mems: asked.cpusetMems,
    },
    hugepageLimits: asked.hugepageLimits,
    unified: asked.unified,
  });
}

function optionalField<K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> {
  return (value === undefined ? {} : { [name]: value }) as Partial<Record<K, V>>;
}

/** Limits of a spec with those of a message in place of its own. */
export function withNriResources(base: SpecResources | undefined, change: LinuxResources): SpecResources {
  const { memory, cpu, pids, hugepageLimits, unified, devices } = change;
  const resources: SpecResources = { ...base };
  if (memory !== undefined) resources.memory = { ...base?.memory, ...specMemory(memory) };
  if (cpu !== undefined) resources.cpu = { ...base?.cpu, ...specCpu(cpu) };
  if (pids !== undefined) resources.pids = { limit: pids.limit };
  if (hugepageLimits.length > 0) {
    const sizes = new Set(hugepageLimits.map(({ pageSize }) => pageSize));
    const kept = (base?.hugepageLimits ?? []).filter(({ pageSize }) => !sizes.has(pageSize));
    resources.hugepageLimits = [...kept, ...hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit }))];
  }
  if (unified.size > 0) resources.unified = { ...base?.unified, ...Object.fromEntries(unified) };
  if (devices.length > 0) {
    const rules = devices.map(({ allow, type, access, major, minor }) => ({
      allow,
      ...(type === "" ? {} : { type: type as "a" | "c" | "b" }),
      ...(access === "" ? {} : { access }),
      ...(major === undefined ? {} : { major: Number(major.value) }),
      ...(minor === undefined ? {} : { minor: Number(minor.value) }),
    }));
    resources.devices = [...(base?.devices ?? []), ...rules];
  }
  return resources;
}

function specMemory(memory: LinuxMemory): SpecMemory {
  const values = memoryNames.flatMap(([name, key]) => {
    const value = memory[name];
    return value === undefined ? [] : [[key, value.value]];
  });
  const { disableOomKiller, useHierarchy } = memory;
  return {
    ...(Object.fromEntries(values) as SpecMemory),
    ...(disableOomKiller === undefined ? {} : { disableOOMKiller: disableOomKiller.value }),
    ...(useHierarchy === undefined ? {} : { useHierarchy: useHierarchy.value }),
  };
}

function specCpu(cpu: LinuxCPU): SpecCpu {
  const values = cpuNames.flatMap((name) => {
    const value = cpu[name];
    return value === undefined ? [] : [[name, value.value]];
  });
  return {
    ...(Object.fromEntries(values) as SpecCpu),
    ...(cpu.cpus === "" ? {} : { cpus: cpu.cpus }),
    ...(cpu.mems === "" ? {} : { mems: cpu.mems }),
  };
}
