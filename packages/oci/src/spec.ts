/**
 * The OCI runtime specification 1.2 for Linux: the shape of a bundle's `config.json`, under its JSON names.
 *
 * @module
 */
import type { LinuxSpec } from "./spec-linux.ts";

/** Version of the runtime specification that {@link Spec} describes. */
export const specVersion = "1.2.1";

/** A whole number of 64 bits. Beyond 2^53 it is a bigint. */
export type SpecInteger = number | bigint;

/** A whole `config.json`. */
export interface Spec {
  ociVersion: string;
  process?: Process;
  root?: Root;
  hostname?: string;
  domainname?: string;
  /** In the order in which the runtime makes them. */
  mounts?: Mount[];
  hooks?: Hooks;
  annotations?: Record<string, string>;
  linux?: LinuxSpec;
}

/** The process of a container, or one added to it (`exec`). */
export interface Process {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user: User;
  args?: string[];
  /** `NAME=value` entries. */
  env?: string[];
  cwd: string;
  capabilities?: Capabilities;
  rlimits?: Rlimit[];
  noNewPrivileges?: boolean;
  apparmorProfile?: string;
  oomScoreAdj?: number;
  selinuxLabel?: string;
  scheduler?: Scheduler;
  ioPriority?: { class: "IOPRIO_CLASS_RT" | "IOPRIO_CLASS_BE" | "IOPRIO_CLASS_IDLE"; priority: number };
  execCPUAffinity?: { initial?: string; final?: string };
}

/** Whom the process runs as. */
export interface User {
  uid: number;
  gid: number;
  umask?: number;
  additionalGids?: number[];
}

/** Capability sets, by the names in capabilities(7). */
export interface Capabilities {
  bounding?: string[];
  effective?: string[];
  inheritable?: string[];
  permitted?: string[];
  ambient?: string[];
}

/** One resource limit, `RLIMIT_NOFILE` and so on. */
export interface Rlimit {
  type: string;
  hard: SpecInteger;
  soft: SpecInteger;
}

/** Attributes of sched_setattr(2). */
export interface Scheduler {
  policy: string;
  nice?: number;
  priority?: number;
  flags?: string[];
  runtime?: SpecInteger;
  deadline?: SpecInteger;
  period?: SpecInteger;
}

/** The root filesystem. A relative path is below the bundle. */
export interface Root {
  path: string;
  readonly?: boolean;
}

/** One mount in the container. */
export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

/** A range of ids inside a user namespace and what they are outside. */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/** A program that the runtime runs at one point of a container's life. */
export interface Hook {
  path: string;
  args?: string[];
  env?: string[];
  /** Seconds. */
  timeout?: number;
}

/** The points at which hooks run. */
export type HookName = "prestart" | "createRuntime" | "createContainer" | "startContainer" | "poststart" | "poststop";

/** Hooks by the point at which they run. */
export type Hooks = Partial<Record<HookName, Hook[]>>;
