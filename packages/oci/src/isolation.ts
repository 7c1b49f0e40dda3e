/**
 * What the container is kept from seeing and doing, other than by namespaces, capabilities and system calls.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { withCapabilities } from "./capabilities.ts";
import type { SpecOption } from "./context.ts";
import { compose, linuxOf, processOf } from "./context.ts";
import { withAllDevicesAllowed, withHostDevices } from "./devices.ts";
import { requireAbsolute } from "./paths.ts";
import { setEntries } from "./records.ts";
import { withSeccompUnconfined } from "./seccomp.ts";
import type { Hook, HookName, Spec } from "./spec.ts";

/** Hides these paths, in place of those hidden so far. */
export function withMaskedPaths(paths: readonly string[]): SpecOption {
  for (const path of paths) requireAbsolute("masked path", path);
  return (_context, spec) => {
    linuxOf(spec).maskedPaths = [...paths];
  };
}

/** Makes these paths read-only, in place of those that are so far. */
export function withReadonlyPaths(paths: readonly string[]): SpecOption {
  for (const path of paths) requireAbsolute("read-only path", path);
  return (_context, spec) => {
    linuxOf(spec).readonlyPaths = [...paths];
  };
}

/** Runs the process under an AppArmor profile that the host has loaded; "" for none. */
export function withApparmorProfile(profile: string): SpecOption {
  return (_context, spec) => {
    const process = processOf(spec);
    if (profile === "") delete process.apparmorProfile;
    else process.apparmorProfile = profile;
  };
}

/** Sets the SELinux labels of the process and of its mounts; "" for none. */
export function withSelinuxLabel(processLabel: string, mountLabel = ""): SpecOption {
  return (_context, spec) => {
    const [process, linux] = [processOf(spec), linuxOf(spec)];
    if (processLabel === "") delete process.selinuxLabel;
    else process.selinuxLabel = processLabel;
    if (mountLabel === "") delete linux.mountLabel;
    else linux.mountLabel = mountLabel;
  };
}

/** Adds annotations. */
export function withAnnotations(annotations: Readonly<Record<string, string>>): SpecOption {
  return (_context, spec) => {
    spec.annotations = setEntries(spec.annotations, annotations);
  };
}

/** Sets kernel parameters of the container's namespaces, such as `net.ipv4.ip_forward`. */
export function withSysctls(sysctls: Readonly<Record<string, string>>): SpecOption {
  for (const name of Object.keys(sysctls)) {
    if (!/^[\w-]+([./][\w-]+)+$/.test(name)) throw invalidArgument(`kernel parameter "${name}" is no dotted name`);
  }
  return (_context, spec) => {
    const linux = linuxOf(spec);
    linux.sysctl = setEntries(linux.sysctl, sysctls);
  };
}

/** Adds programs that the runtime runs on the host or in the container, after those that are there. */
export function withHooks(name: HookName, ...hooks: readonly Hook[]): SpecOption {
  for (const hook of hooks) requireAbsolute("hook", hook.path);
  return (_context, spec) => addHooks(spec, name, hooks);
}

/** Adds hooks to a spec, after those that are there. */
export function addHooks(spec: Spec, name: HookName, hooks: readonly Hook[]): void {
  const before = spec.hooks?.[name] ?? [];
  spec.hooks = { ...spec.hooks, [name]: [...before, ...structuredClone([...hooks])] };
}

/** Makes /sys and the cgroup mounts writable. */
export function withWritableSysfs(): SpecOption {
  return (_context, spec) => {
    for (const mount of spec.mounts ?? []) {
      if (mount.type !== "sysfs" && mount.type !== "cgroup" && mount.type !== "cgroup2") continue;
      mount.options = (mount.options ?? []).map((option) => (option === "ro" ? "rw" : option));
    }
  };
}

/** Options of {@link withPrivileged}. */
export interface PrivilegedOptions {
  /** Whether it gets every device of the host; true when absent. */
  hostDevices?: boolean;
}

/** Takes nearly all isolation away: the container can do to the host what root can. */
export function withPrivileged(options: PrivilegedOptions = {}): SpecOption {
  const devices = options.hostDevices === false ? [] : [withAllDevicesAllowed(), withHostDevices()];
  return compose(
    withCapabilities("ALL"),
    withMaskedPaths([]),
    withReadonlyPaths([]),
    withWritableSysfs(),
    withSelinuxLabel(""),
    withApparmorProfile(""),
    withSeccompUnconfined(),
    ...devices,
  );
}
