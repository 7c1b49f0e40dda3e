/** The directories of the machine that all daemons share. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Entries of the directories that daemons share, and the namespaces of the network. */
export function machineState(): string[] {
  const cgroups = list("/sys/fs/cgroup").flatMap((controller) => list(controller));
  return [
    ...cgroups.filter((path) => /\/e2e-[^/]*$/.test(path)),
    ...list("/run/containerd/s"),
    ...list("/run/containerd/fifo"),
    ...list("/run/containerd/runc"),
    ...list("/run/netns"),
    ...list("/var/lib/containerd"),
    ...list("/var/lib/ctrd"),
    ...list("/run/ctrd"),
    ...list("/tmp").filter((path) => /\/(ctrd-e2e-|containerd-mount|ctd-volume|containerd-)/.test(path)),
  ];
}

/** Entries of a directory as full paths; none when it does not exist. */
export function list(dir: string): string[] {
  try {
    return readdirSync(dir).map((name) => join(dir, name));
  } catch {
    return [];
  }
}
