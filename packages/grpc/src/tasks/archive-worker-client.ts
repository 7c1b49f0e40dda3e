import { canceled, ContainerdError } from "@ctrd/core/errors";
import type { ErrorKind } from "@ctrd/core/errors";
import { Worker } from "node:worker_threads";

/** Work on a checkpoint archive: `path` is the tar, `directory` what it holds. */
export interface ArchiveTask {
  readonly operation: "pack" | "unpack";
  readonly path: string;
  readonly directory: string;
}

/** What the worker tells at the end. */
export type ArchiveOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };

/** Packs or unpacks an archive in a thread of its own; it walks trees with synchronous calls. */
export async function runArchiveWorker(task: ArchiveTask, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const module = new URL(
    import.meta.url.endsWith(".ts") ? "./archive-worker.ts" : "./archive-worker.js",
    import.meta.url,
  );
  const worker = new Worker(module, { workerData: task });
  const { promise, resolve, reject } = Promise.withResolvers<ArchiveOutcome>();
  worker.once("message", resolve);
  worker.once("error", reject);
  worker.once("exit", () => reject(canceled(`${task.operation} "${task.path}": the worker ended`)));
  const abort = (): void => void worker.terminate();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const outcome = await promise;
    if (!outcome.ok) throw new ContainerdError(outcome.kind, `${task.operation} checkpoint: ${outcome.message}`);
  } finally {
    signal.removeEventListener("abort", abort);
    await worker.terminate();
  }
}
