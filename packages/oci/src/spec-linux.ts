/**
 * The `linux` part of the OCI runtime specification 1.2.
 *
 * @module
 */
import type { IdMapping, SpecInteger } from "./spec.ts";

/** Linux settings of a container. */
export interface LinuxSpec {
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  timeOffsets?: Record<string, { secs?: SpecInteger; nanosecs?: number }>;
  sysctl?: Record<string, string>;
  resources?: Resources;
  /** A path below the cgroup root, or `slice:prefix:name` for the systemd driver. */
  cgroupsPath?: string;
  namespaces?: Namespace[];
  devices?: Device[];
  seccomp?: Seccomp;
  rootfsPropagation?: string;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  mountLabel?: string;
  intelRdt?: IntelRdt;
  personality?: { domain: "LINUX" | "LINUX32"; flags?: string[] };
}

/** Kinds of namespace. */
export type NamespaceType = "pid" | "network" | "ipc" | "mount" | "uts" | "user" | "cgroup" | "time";

/** A namespace of the container: a new one, or the one that `path` names. */
export interface Namespace {
  type: NamespaceType;
  path?: string;
}

/** A device node that the runtime makes in the container. */
export interface Device {
  path: string;
  /** Character, unbuffered character, block, FIFO. */
  type: "c" | "u" | "b" | "p";
  major?: number;
  minor?: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

/** A rule of the devices cgroup. What is absent matches everything. */
export interface DeviceRule {
  allow: boolean;
  type?: "a" | "c" | "b" | "u" | "p";
  major?: number;
  minor?: number;
  /** Of `r`, `w` and `m` (mknod). */
  access?: string;
}

/** Cgroup limits. */
export interface Resources {
  devices?: DeviceRule[];
  memory?: Memory;
  cpu?: Cpu;
  pids?: { limit: SpecInteger };
  blockIO?: BlockIo;
  hugepageLimits?: { pageSize: string; limit: SpecInteger }[];
  network?: { classID?: number; priorities?: { name: string; priority: number }[] };
  rdma?: Record<string, { hcaHandles?: number; hcaObjects?: number }>;
  /** Files of cgroup v2 and what is written to them. */
  unified?: Record<string, string>;
}

/** Memory limits in bytes; -1 is no limit. */
export interface Memory {
  limit?: SpecInteger;
  reservation?: SpecInteger;
  /** Memory and swap together. */
  swap?: SpecInteger;
  kernel?: SpecInteger;
  kernelTCP?: SpecInteger;
  swappiness?: SpecInteger;
  disableOOMKiller?: boolean;
  useHierarchy?: boolean;
  checkBeforeUpdate?: boolean;
}

/** Processor limits. Times are microseconds. */
export interface Cpu {
  shares?: SpecInteger;
  quota?: SpecInteger;
  burst?: SpecInteger;
  period?: SpecInteger;
  realtimeRuntime?: SpecInteger;
  realtimePeriod?: SpecInteger;
  /** List of processors such as `0-2,4`. */
  cpus?: string;
  /** List of memory nodes. */
  mems?: string;
  idle?: number;
}

/** Limits of block devices. */
export interface BlockIo {
  weight?: number;
  leafWeight?: number;
  weightDevice?: { major: number; minor: number; weight?: number; leafWeight?: number }[];
  throttleReadBpsDevice?: Throttle[];
  throttleWriteBpsDevice?: Throttle[];
  throttleReadIOPSDevice?: Throttle[];
  throttleWriteIOPSDevice?: Throttle[];
}

/** A rate limit of one block device. */
export interface Throttle {
  major: number;
  minor: number;
  rate: SpecInteger;
}

/** Intel RDT class and schemas. */
export interface IntelRdt {
  closID?: string;
  l3CacheSchema?: string;
  memBwSchema?: string;
  enableCMT?: boolean;
  enableMBM?: boolean;
}

/** A system call filter. */
export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompRule[];
}

/** What happens to some system calls, for some values of their arguments. */
export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: SeccompArgument[];
}

/** A condition on one argument. */
export interface SeccompArgument {
  index: number;
  value: SpecInteger;
  valueTwo?: SpecInteger;
  op: string;
}
