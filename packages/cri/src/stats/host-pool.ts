/** Looks at the host that are made in a worker thread. */
import { TaskPool } from "@ctrd/storage";
import type { InterfaceCounters } from "./net-dev.ts";

export type { InterfaceCounters };

/** Open files of processes. */
export interface DescriptorCount {
  files: bigint;
  sockets: bigint;
}

/** kubelet asks every ten seconds: a thread that ended in between would be started again each time. */
const idleMillis = 30_000;

/** One worker thread, started when it is needed. */
export class HostPool {
  readonly #pool = new TaskPool(
    new URL(import.meta.url.endsWith(".ts") ? "./host-worker.ts" : "./host-worker.js", import.meta.url),
    { threads: 1, idleMillis },
  );

  /** The interfaces of network namespaces, without loopback; `undefined` for a namespace that is gone. */
  async networks(paths: readonly string[], signal: AbortSignal): Promise<(InterfaceCounters[] | undefined)[]> {
    if (paths.length === 0) return [];
    return (await this.#pool.run("networks", paths, signal)) as (InterfaceCounters[] | undefined)[];
  }

  /** How many files and sockets processes have open. */
  async descriptors(pids: readonly number[], signal: AbortSignal): Promise<DescriptorCount> {
    return (await this.#pool.run("descriptors", pids, signal)) as DescriptorCount;
  }

  /** Ends the thread. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}
