/** The directories of the machine that all daemons share. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Part of the name of everything that this run of the tests makes. */
export function runName(): string {
  const run = process.env["CTRD_E2E_RUN"];
  if (run === undefined) throw new Error("CTRD_E2E_RUN is not set: run the tests with e2e/vitest.config.ts");
  return `e2e-${run}`;
}

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
