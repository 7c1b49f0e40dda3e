import type { SpecOption } from "@ctrd/oci";
import { withCpu, withCpuLimit, withMemory, withPidsLimit } from "@ctrd/oci";
import type { CreateFlags } from "./flags.ts";
import { parseBytes, parseNumber } from "./quantities.ts";

/** Flags that limit what a container may use, of new containers and of those that are there. */
export type ResourceFlags = Pick<
  CreateFlags,
  "cpus" | "cpuShares" | "cpusetCpus" | "memory" | "memorySwap" | "pidsLimit"
>;

/** The options of flags that limit what a container may use. */
export function resourceOptions(flags: ResourceFlags): SpecOption[] {
  const { cpus, cpuShares, cpusetCpus, memory, memorySwap, pidsLimit } = flags;
  const cpu = {
    ...(cpuShares === undefined ? {} : { shares: parseNumber("--cpu-shares", cpuShares) }),
    ...(cpusetCpus === undefined ? {} : { cpus: cpusetCpus }),
  };
  const swap = memorySwap === "-1" ? -1 : memorySwap && parseBytes("--memory-swap", memorySwap);
  const limit = {
    ...(memory === undefined ? {} : { limit: parseBytes("--memory", memory) }),
    ...(swap === undefined || swap === "" ? {} : { swap }),
  };
  return [
    ...(cpus === undefined ? [] : [withCpuLimit(parseNumber("--cpus", cpus))]),
    ...(Object.keys(cpu).length === 0 ? [] : [withCpu(cpu)]),
    ...(Object.keys(limit).length === 0 ? [] : [withMemory(limit)]),
    ...(pidsLimit === undefined ? [] : [withPidsLimit(parseNumber("--pids-limit", pidsLimit))]),
  ];
}
