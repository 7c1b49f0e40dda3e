/**
 * Limits that several plugins set.
 *
 * @module
 */
import { Field, LinuxCPU, LinuxMemory, LinuxResources } from "@ctrd/api/nri/v1alpha1/api";

/** Says that a field, or one entry of it, is set. */
export type Claim = (field: number, key?: string) => void;

const memoryFields: readonly (readonly [keyof LinuxMemory, number])[] = [
  ["limit", Field.MemLimit],
  ["reservation", Field.MemReservation],
  ["swap", Field.MemSwapLimit],
  ["kernel", Field.MemKernelLimit],
  ["kernelTcp", Field.MemTCPLimit],
  ["swappiness", Field.MemSwappiness],
  ["disableOomKiller", Field.MemDisableOomKiller],
  ["useHierarchy", Field.MemUseHierarchy],
];

const cpuFields: readonly (readonly [keyof LinuxCPU, number])[] = [
  ["shares", Field.CPUShares],
  ["quota", Field.CPUQuota],
  ["period", Field.CPUPeriod],
  ["realtimeRuntime", Field.CPURealtimeRuntime],
  ["realtimePeriod", Field.CPURealtimePeriod],
  ["cpus", Field.CPUSetCPUs],
  ["mems", Field.CPUSetMems],
];

/** Claims all that `from` sets. */
export function claimResources(from: LinuxResources, claim: Claim): void {
  claimFields(from.memory, memoryFields, claim);
  claimFields(from.cpu, cpuFields, claim);
  for (const { pageSize } of from.hugepageLimits) claim(Field.HugepageLimits, pageSize);
  for (const key of from.unified.keys()) claim(Field.CgroupsUnified, key);
  if (from.blockioClass !== undefined) claim(Field.BlockioClass);
  if (from.rdtClass !== undefined) claim(Field.RdtClass);
  if (from.pids !== undefined) claim(Field.PidsLimit);
}

function claimFields<T extends object>(
  from: T | undefined,
  fields: readonly (readonly [keyof T, number])[],
  claim: Claim,
): void {
  if (from === undefined) return;
  for (const [name, field] of fields) if (isSet(from[name])) claim(field);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== "";
}

/** Limits with those of `from` in place of their own. */
export function mergeResources(base: LinuxResources | undefined, from: LinuxResources): LinuxResources {
  const start = LinuxResources.create(base);
  const sizes = new Set(from.hugepageLimits.map(({ pageSize }) => pageSize));
  return {
    memory: overlay(start.memory, from.memory && LinuxMemory.create(from.memory)),
    cpu: overlay(start.cpu, from.cpu && LinuxCPU.create(from.cpu)),
    hugepageLimits: [...start.hugepageLimits.filter(({ pageSize }) => !sizes.has(pageSize)), ...from.hugepageLimits],
    blockioClass: from.blockioClass ?? start.blockioClass,
    rdtClass: from.rdtClass ?? start.rdtClass,
    unified: new Map([...start.unified, ...from.unified]),
    devices: [...start.devices, ...from.devices],
    pids: from.pids ?? start.pids,
  };
}

/** The fields of `from` that are set, over those of `base`. */
function overlay<T extends object>(base: T | undefined, from: T | undefined): T | undefined {
  if (base === undefined || from === undefined) return from ?? base;
  const set = Object.entries(from).filter(([, value]) => isSet(value));
  return Object.assign({ ...base }, Object.fromEntries(set));
}
