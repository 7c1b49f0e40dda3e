/** Worker module: what must be looked at inside a network namespace, or takes many system calls. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { errnoOf } from "@ctrd/core/errors";
import { serveTasks } from "@ctrd/storage/tasks";
import { CloneFlag, setns } from "@ctrd/sys";
import type { DescriptorCount, InterfaceCounters } from "./host-pool.ts";
import { parseNetDev } from "./net-dev.ts";

/** The interfaces of each namespace; `undefined` for one that is gone. */
function networks(paths: readonly string[]): (InterfaceCounters[] | undefined)[] {
  // This thread does nothing else: it may stay in the last namespace.
  return paths.map((path) => {
    let descriptor: number;
    try {
      descriptor = openSync(path, "r");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      setns(descriptor, CloneFlag.NewNet);
      return parseNetDev(readFileSync("/proc/thread-self/net/dev", "utf8"));
    } catch (error) {
      // The file is still there, but no namespace is mounted on it any more.
      if (errnoOf(error) === "EINVAL") return undefined;
      throw error;
    } finally {
      closeSync(descriptor);
    }
  });
}

/** Open files of processes, those that have ended left out. */
function descriptors(pids: readonly number[]): DescriptorCount {
  const count: DescriptorCount = { files: 0n, sockets: 0n };
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`;
    for (const name of orIfGone(() => readdirSync(directory), [])) {
      count.files += 1n;
      const target = orIfGone(() => readlinkSync(`${directory}/${name}`), "");
      if (target.startsWith("socket:")) count.sockets += 1n;
    }
  }
  return count;
}

function orIfGone<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return otherwise;
    throw error;
  }
}

serveTasks({ networks, descriptors });
