import { chmodSync } from "node:fs";
import type { CallContext } from "@ctrd/core/context";
import { canceled } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Mount } from "@ctrd/core/records";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories, TaskPool } from "@ctrd/storage";
import type { SnapshotChain, SnapshotDriver } from "@ctrd/storage";
import type { CopyRequest } from "./copy-worker.ts";

/** Options of {@link openNativeSnapshotter}. */
export interface NativeOptions {
  /** For what happens outside calls. */
  log?: Logger;
}

/**
 * Opens the copying snapshotter whose files are in `root`, which is created when missing.
 *
 * @throws as `openDurableEnv` for its database, and the errors of creating directories
 */
export function openNativeSnapshotter(root: string, options: NativeOptions = {}): Snapshotter {
  const directories = new SnapshotDirectories(root);
  return openDirectorySnapshotter(directories, new NativeDriver(directories), { ...options, syncRemove: true });
}

class NativeDriver implements SnapshotDriver {
  readonly #directories: SnapshotDirectories;
  readonly #copies = new TaskPool(
    new URL(import.meta.url.endsWith(".ts") ? "./copy-worker.ts" : "./copy-worker.js", import.meta.url),
  );

  constructor(directories: SnapshotDirectories) {
    this.#directories = directories;
  }

  /** A view of a parent shows the parent's files; every other snapshot has a whole copy. */
  hasDirectory({ record, parentIds }: SnapshotChain): boolean {
    return parentIds.length === 0 || record.info.kind !== SnapshotKind.View;
  }

  async fill(ctx: CallContext, directory: string, { parentIds }: SnapshotChain): Promise<void> {
    chmodSync(directory, 0o755);
    const [parent] = parentIds;
    if (parent !== undefined) await this.#copy(ctx.signal, this.#directories.of(parent), directory);
  }

  mounts({ record, parentIds }: SnapshotChain): Mount[] {
    const isView = record.info.kind === SnapshotKind.View;
    const id = isView ? (parentIds[0] ?? record.id) : record.id;
    const options = ["rbind", isView ? "ro" : "rw"];
    return [{ type: "bind", source: this.#directories.of(id), target: "", options }];
  }

  close(): Promise<void> {
    return this.#copies.close();
  }

  /** Copies in a worker thread. When it rejects, nothing is written to `target` any more. */
  async #copy(signal: AbortSignal, source: string, target: string): Promise<void> {
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const cancel = (): void => void Atomics.store(cancelled, 0, 1);
    signal.addEventListener("abort", cancel, { once: true });
    try {
      if (signal.aborted) cancel();
      await this.#copies.run("copyTree", { source, target, cancelled } satisfies CopyRequest);
    } catch (error) {
      throw signal.aborted ? canceled(`copy ${source}`, { cause: signal.reason }) : error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }
}
