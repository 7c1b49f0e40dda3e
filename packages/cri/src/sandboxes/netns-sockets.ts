/** Sockets of other network namespaces, made by a thread that may leave its own. */
import { ContainerdError, failedPrecondition, messageOf } from "@ctrd/core/errors";
import { TaskPool } from "@ctrd/storage";

/** What the thread is asked. */
export interface SocketRequest {
  /** Path of the network namespace. */
  readonly netns: string;
  readonly family: 4 | 6;
}

const threads = new TaskPool(
  new URL(import.meta.url.endsWith(".ts") ? "./netns-socket-worker.ts" : "./netns-socket-worker.js", import.meta.url),
  { threads: 1 },
);

/** A TCP socket of a namespace, not connected. The caller closes it. */
export async function socketInNamespace(netns: string, family: 4 | 6): Promise<number> {
  try {
    // A descriptor belongs to the whole process.
    return (await threads.run("socket", { netns, family } satisfies SocketRequest)) as number;
  } catch (error) {
    if (error instanceof ContainerdError) throw error;
    throw failedPrecondition(`socket in network namespace ${netns}: ${messageOf(error)}`, { cause: error });
  }
}
