/**
 * The spec that every container starts from, the same as that of containerd's client.
 *
 * @module
 */
import type { DeviceRule, Resources } from "./spec-linux.ts";
import { defaultCapabilities } from "./capabilities.ts";
import type { Mount, Spec } from "./spec.ts";
import { specVersion } from "./spec.ts";

/** Files of /proc and /sys that tell of the host, or let a container measure it (powercap: GO-2023-2412). */
export const defaultMaskedPaths: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
  "/proc/scsi",
];

/** Parts of /proc that change the host when written. */
export const defaultReadonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** The default spec of container `id` in `namespace`: no arguments, root, 14 capabilities, five new namespaces. */
export function defaultSpec(namespace: string, id: string): Spec {
  return {
    ociVersion: specVersion,
    process: {
      user: { uid: 0, gid: 0 },
      cwd: "/",
      capabilities: {
        bounding: [...defaultCapabilities],
        effective: [...defaultCapabilities],
        permitted: [...defaultCapabilities],
      },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: defaultMounts(),
    linux: {
      resources: defaultResources(),
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }, { type: "network" }],
      maskedPaths: [...defaultMaskedPaths],
      readonlyPaths: [...defaultReadonlyPaths],
    },
  };
}

function defaultMounts(): Mount[] {
  const quiet = ["nosuid", "noexec", "nodev"];
  const small = ["nosuid", "strictatime", "mode=755", "size=65536k"];
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: [...quiet] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: [...small] },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: terminals },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...quiet, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: [...quiet] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] },
    { destination: "/run", type: "tmpfs", source: "tmpfs", options: [...small] },
  ];
}

/** Devices that a container may use: null, random, full, tty, zero, urandom, console, pseudo terminals, ptmx. */
function defaultResources(): Resources {
  const numbers = [[1, 3], [1, 8], [1, 7], [5, 0], [1, 5], [1, 9], [5, 1], [136], [5, 2]];
  const allowed = numbers.map(([major = 0, minor]): DeviceRule => {
    const rule: DeviceRule = { allow: true, type: "c", major, access: "rwm" };
    return minor === undefined ? rule : { ...rule, minor };
  });
  return { devices: [{ allow: false, access: "rwm" }, ...allowed] };
}
