/** SELinux labels of files that a container gets by a mount. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import { workerExecArgv } from "@ctrd/sys";
import { cleanPath } from "./mount-paths.ts";

/** Directories of the host that must keep their labels: others than containers would lose their files. */
const kept: ReadonlySet<string> = new Set(
  (
    "/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run /sbin /srv " +
    "/sys /tmp /usr /var /var/lib /var/log"
  ).split(" "),
);

/** What the worker gets. @internal */
export interface RelabelTask {
  readonly path: string;
  readonly label: string;
}

/**
 * Gives a file, or a directory with all below it, this label. File systems without labels keep none.
 *
 * @throws ContainerdError `invalid-argument` naming the path, also for a directory of the system
 */
export async function relabelTree(path: string, label: string, signal: AbortSignal): Promise<void> {
  if (kept.has(cleanPath(path))) {
    throw invalidArgument(
      `relabel "${path}": SELinux labels of a system directory are not changed (mount one below it)`,
    );
  }
  const module = new URL(
    import.meta.url.endsWith(".ts") ? "./relabel-worker.ts" : "./relabel-worker.js",
    import.meta.url,
  );
  const execArgv = workerExecArgv();
  const workerData: RelabelTask = { path, label };
  const worker = new Worker(module, { workerData, ...(execArgv === undefined ? {} : { execArgv }) });
  const stop = (): void => void worker.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    await once(worker, "exit");
  } catch (cause) {
    throw invalidArgument(`relabel "${path}" with "${label}": ${messageOf(cause)}`, { cause });
  } finally {
    signal.removeEventListener("abort", stop);
  }
  signal.throwIfAborted();
}
