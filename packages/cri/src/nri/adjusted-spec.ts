/**
 * Specs with what NRI's plugins change.
 *
 * @module
 */
import type { ContainerAdjustment, Hook, LinuxContainerAdjustment, LinuxDevice } from "@ctrd/api/nri/v1alpha1/api";
import { IOPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy } from "@ctrd/api/nri/v1alpha1/api";
import { failedPrecondition } from "@ctrd/core/errors";
import type { Spec } from "@ctrd/oci";
import { withNriResources } from "./resources.ts";
import { specSeccomp } from "./seccomp.ts";
import type { SpecLinux } from "./spec-types.ts";

/**
 * The spec with an adjustment; the one given is not changed. CDI devices are not in it: they are `CDIDevices` of the
 * adjustment still.
 *
 * @throws ContainerdError `failed-precondition` for what a spec cannot say
 */
export function adjustedSpec(before: Readonly<Spec>, adjust: ContainerAdjustment): Spec {
  const spec = structuredClone(before) as Spec;
  const { process, annotations = {} } = spec;
  spec.annotations = Object.fromEntries(changedPairs(Object.entries(annotations), [...adjust.annotations]));
  spec.mounts = adjustedMounts(spec.mounts ?? [], adjust);
  if (process !== undefined) {
    const env = changedPairs(
      (process.env ?? []).map(envPair),
      adjust.env.map(({ key, value }) => [key, value]),
    );
    process.env = env.map(([key, value]) => `${key}=${value}`);
    if (adjust.args.length > 0) process.args = adjust.args;
    const limits = adjust.rlimits.map(({ type, hard, soft }) => ({ type, hard, soft }));
    const types = new Set(limits.map(({ type }) => type));
    if (limits.length > 0) {
      process.rlimits = [...(process.rlimits ?? []).filter(({ type }) => !types.has(type)), ...limits];
    }
  }
  if (adjust.hooks !== undefined) addHooks(spec, adjust.hooks);
  if (adjust.linux !== undefined) adjustLinux(spec, adjust.linux);
  return spec;
}

/** The entries of `before` with those of `change`; a key that begins with `-` removes. */
function changedPairs<T>(
  before: readonly (readonly [string, T])[],
  change: readonly (readonly [string, T])[],
): (readonly [string, T])[] {
  const touched = new Set(change.map(([key]) => (key.startsWith("-") ? key.slice(1) : key)));
  return [...before.filter(([key]) => !touched.has(key)), ...change.filter(([key]) => !key.startsWith("-"))];
}

function envPair(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** Mounts come after those of the directories that they are in. */
function adjustedMounts(
  before: NonNullable<Spec["mounts"]>,
  { mounts }: ContainerAdjustment,
): NonNullable<Spec["mounts"]> {
  if (mounts.length === 0) return before;
  const pairs = (list: NonNullable<Spec["mounts"]>) => list.map((mount) => [mount.destination, mount] as const);
  const after = changedPairs(pairs(before), pairs(mounts)).map(([, mount]) => mount);
  const depth = ({ destination }: { destination: string }): number => destination.split("/").filter(Boolean).length;
  return after.toSorted((a, b) => depth(a) - depth(b));
}

function addHooks(spec: Spec, hooks: NonNullable<ContainerAdjustment["hooks"]>): void {
  const all = (spec.hooks ??= {});
  for (const name of Object.keys(hooks) as (keyof typeof hooks)[]) {
    if (hooks[name].length > 0) all[name] = [...(all[name] ?? []), ...hooks[name].map(specHook)];
  }
}

function specHook({ path, args, env, timeout }: Hook): NonNullable<NonNullable<Spec["hooks"]>["prestart"]>[number] {
  return { path, args, env, ...(timeout === undefined ? {} : { timeout: Number(timeout.value) }) };
}

function adjustLinux(spec: Spec, adjust: LinuxContainerAdjustment): void {
  const linux = (spec.linux ??= {});
  const { devices, namespaces, resources, sysctl, cgroupsPath, seccompPolicy } = adjust;
  if (devices.length > 0) adjustDevices(linux, devices);
  if (namespaces.length > 0) {
    const pairs = (linux.namespaces ?? []).map((namespace) => [namespace.type as string, namespace] as const);
    const change = namespaces.map(({ type, path }) => {
      const namespace = { type: type as "pid", ...(path === "" ? {} : { path }) };
      return [type, namespace] as const;
    });
    linux.namespaces = changedPairs(pairs, change).map(([, namespace]) => namespace);
  }
  if (sysctl.size > 0) linux.sysctl = Object.fromEntries(changedPairs(Object.entries(linux.sysctl ?? {}), [...sysctl]));
  if (resources !== undefined) linux.resources = withNriResources(linux.resources, resources);
  if (cgroupsPath !== "") linux.cgroupsPath = cgroupsPath;
  if (seccompPolicy !== undefined) linux.seccomp = specSeccomp(seccompPolicy);
  adjustRdt(linux, adjust);
  adjustProcess(spec, adjust);
  refuse(adjust);
}

/** A device is made, and allowed in the cgroup. */
function adjustDevices(linux: SpecLinux, devices: readonly LinuxDevice[]): void {
  const pairs = (linux.devices ?? []).map((device) => [device.path, device] as const);
  const change = devices.map(({ path, type, major, minor, fileMode, uid, gid }) => {
    const device = {
      path,
      type: type as "c",
      major: Number(major),
      minor: Number(minor),
      ...(fileMode === undefined ? {} : { fileMode: fileMode.value }),
      ...(uid === undefined ? {} : { uid: uid.value }),
      ...(gid === undefined ? {} : { gid: gid.value }),
    };
    return [path, device] as const;
  });
  linux.devices = changedPairs(pairs, change).map(([, device]) => device);
  const rules = change
    .filter(([path, { type }]) => !path.startsWith("-") && type !== ("p" as string))
    .map(([, { type, major, minor }]) => ({ allow: true, type, major, minor, access: "rwm" }));
  linux.resources = { ...linux.resources, devices: [...(linux.resources?.devices ?? []), ...rules] };
}

function adjustRdt(linux: SpecLinux, { rdt, resources }: LinuxContainerAdjustment): void {
  const closID = rdt?.closId?.value ?? resources?.rdtClass?.value;
  if (rdt?.remove === true) delete linux.intelRdt;
  if (closID !== undefined) linux.intelRdt = { ...linux.intelRdt, closID };
  if (rdt?.enableMonitoring !== undefined)
    linux.intelRdt = { ...linux.intelRdt, enableCMT: rdt.enableMonitoring.value };
}

function adjustProcess({ process }: Spec, { oomScoreAdj, ioPriority, scheduler }: LinuxContainerAdjustment): void {
  if (process === undefined) return;
  if (oomScoreAdj !== undefined) process.oomScoreAdj = Number(oomScoreAdj.value);
  if (ioPriority !== undefined && ioPriority.class !== IOPrioClass.IOPRIO_CLASS_NONE) {
    const name = nameOf(IOPrioClass, ioPriority.class) as NonNullable<typeof process.ioPriority>["class"];
    process.ioPriority = { class: name, priority: ioPriority.priority };
  }
  if (scheduler === undefined || scheduler.policy === LinuxSchedulerPolicy.SCHED_NONE) return;
  process.scheduler = {
    policy: nameOf(LinuxSchedulerPolicy, scheduler.policy),
    nice: scheduler.nice,
    priority: scheduler.priority,
    flags: scheduler.flags.map((flag) => nameOf(LinuxSchedulerFlag, flag)),
    runtime: scheduler.runtime,
    deadline: scheduler.deadline,
    period: scheduler.period,
  };
}

/** Things that no spec of version 1.2 can say, and classes whose limits are on no machine of ours. */
function refuse({ memoryPolicy, netDevices, rdt, resources }: LinuxContainerAdjustment): void {
  const asked = [
    memoryPolicy !== undefined ? "a memory policy" : "",
    netDevices.size > 0 ? "network devices" : "",
    (rdt?.schemata?.value.length ?? 0) > 0 ? "RDT schemata" : "",
    resources?.blockioClass === undefined ? "" : "a block I/O class",
  ].filter((what) => what !== "");
  if (asked.length > 0) throw failedPrecondition(`NRI plugins ask for ${asked.join(", ")}, which is not supported`);
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(names).find(([, one]) => one === value);
  if (found === undefined) throw failedPrecondition(`NRI plugins ask for a value that is not known: ${value}`);
  return found[0];
}
