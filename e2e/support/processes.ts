/** Processes of a container, seen from the host. */
import { readdirSync, readFileSync } from "node:fs";
import type { Daemon } from "./daemon.ts";

/** Pid of the shim of a container. @throws when there is none or more than one */
export function shimPid(daemon: Daemon, id: string): number {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const args = commandLine(Number(name));
      return args[0]?.includes("containerd-shim") === true && args.includes(id) && args.includes(daemon.namespace);
    });
  if (pids.length !== 1) throw new Error(`container ${id} has ${pids.length} shims`);
  return Number(pids[0]);
}

/** Whether a process exists and is not a zombie. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it has ended meanwhile
  }
}
