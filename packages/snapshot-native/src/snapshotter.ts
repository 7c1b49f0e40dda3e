import { chmodSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import type { CallContext } from "@ctrd/core/context";
import { canceled, errnoOf, messageOf, resourceExhausted } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Mount } from "@ctrd/core/records";
import type {
  CommitSnapshotOptions,
  PrepareOptions,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
} from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { openSnapshotStore, TaskPool, TreePool } from "@ctrd/storage";
import type { NewSnapshot, SnapshotChain, SnapshotStore } from "@ctrd/storage";
import type { CopyRequest } from "./copy-worker.ts";
import { idInName, Layout } from "./layout.ts";

/**
 * Opens the copying snapshotter whose files are in `root`, which is created when missing.
 *
 * @throws as `openDurableEnv` for its database, and the errors of creating directories
 */
export function openNativeSnapshotter(root: string): Snapshotter {
  const layout = new Layout(root);
  for (const directory of [layout.root, layout.snapshots]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
  }
  const store = openSnapshotStore(layout.database);
  // A directory that a crash left must not be taken for that of a new snapshot.
  for (const name of readdirSync(layout.snapshots)) store.skipIds(idInName(name) ?? 0);
  return new NativeSnapshotter(layout, store);
}

class NativeSnapshotter implements Snapshotter {
  readonly #layout: Layout;
  readonly #store: SnapshotStore;
  readonly #trees = new TreePool();
  readonly #copies = new TaskPool(
    new URL(import.meta.url.endsWith(".ts") ? "./copy-worker.ts" : "./copy-worker.js", import.meta.url),
  );

  constructor(layout: Layout, store: SnapshotStore) {
    this.#layout = layout;
    this.#store = store;
  }

  async stat(_ctx: CallContext, key: string): Promise<SnapshotInfo> {
    return this.#store.stat(key);
  }

  update(_ctx: CallContext, info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    return this.#store.update(info, mask);
  }

  async usage(ctx: CallContext, key: string): Promise<SnapshotUsage> {
    const { id, info, usage } = this.#store.get(key);
    if (info.kind === SnapshotKind.Active) return await this.#trees.diskUsage(this.#layout.snapshot(id), ctx.signal);
    return { ...usage };
  }

  async mounts(_ctx: CallContext, key: string): Promise<Mount[]> {
    return this.#mounts(this.#store.mountable(key));
  }

  prepare(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    return this.#create(ctx, { kind: SnapshotKind.Active, key, parent, labels: options.labels });
  }

  view(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    return this.#create(ctx, { kind: SnapshotKind.View, key, parent, labels: options.labels });
  }

  async commit(ctx: CallContext, name: string, key: string, options: CommitSnapshotOptions = {}): Promise<void> {
    const { id } = this.#store.checkCommit(name, key, options);
    const usage = await this.#trees.diskUsage(this.#layout.snapshot(id), ctx.signal);
    await this.#store.commit(name, key, usage, options);
  }

  async remove(ctx: CallContext, key: string): Promise<void> {
    const { id } = await this.#store.remove(key);
    await this.#delete(id, ctx.log);
  }

  async *walk(_ctx: CallContext, filters: readonly string[]): AsyncGenerator<SnapshotInfo> {
    for (const { info } of this.#store.walk(filters)) yield info;
  }

  /** Deletes what a crash or a failed deletion left. */
  async cleanup(ctx: CallContext): Promise<void> {
    const ids = this.#store.ids();
    const left = readdirSync(this.#layout.snapshots).filter((name) => !ids.has(name.replace(/^new-/, "")));
    await Promise.all(left.map((name) => this.#removeTree(`${this.#layout.snapshots}/${name}`, ctx.log)));
  }

  async close(): Promise<void> {
    await this.#store.close();
    await Promise.all([this.#trees.close(), this.#copies.close()]);
  }

  async #create(ctx: CallContext, wanted: NewSnapshot): Promise<Mount[]> {
    const chain = await this.#store.create(wanted, {
      make: (draft) => this.#make(ctx, draft),
      discard: async (id) => {
        await this.#removeTree(this.#layout.unfinished(id), ctx.log);
        await this.#delete(id, ctx.log);
      },
    });
    return this.#mounts(chain);
  }

  /** A view of a parent has no files of its own; every other snapshot has a whole copy. */
  async #make(ctx: CallContext, { record, parentIds }: SnapshotChain): Promise<void> {
    const [parent] = parentIds;
    if (parent !== undefined && record.info.kind === SnapshotKind.View) return;
    const target = this.#layout.unfinished(record.id);
    try {
      mkdirSync(target);
      chmodSync(target, 0o755);
      if (parent !== undefined) {
        await this.#copy(ctx.signal, this.#layout.snapshot(parent), target);
      }
      renameSync(target, this.#layout.snapshot(record.id));
    } catch (error) {
      if (errnoOf(error) !== "ENOSPC" && errnoOf(error) !== "EDQUOT") throw error;
      const what = `create snapshot "${record.info.name}"`;
      throw resourceExhausted(`${what}: ${messageOf(error)} (free space or inodes)`, { cause: error });
    }
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

  /** Moves the files of a snapshot out of the way and deletes them. */
  async #delete(id: string, log: Logger): Promise<void> {
    const path = this.#layout.snapshot(id);
    const doomed = this.#layout.removed(id);
    try {
      renameSync(path, doomed);
    } catch (error) {
      // A view of a parent has none.
      if (errnoOf(error) !== "ENOENT") log.warn({ path, error: messageOf(error) }, "cannot move removed snapshot away");
      return;
    }
    await this.#removeTree(doomed, log);
  }

  async #removeTree(path: string, log: Logger): Promise<void> {
    try {
      await this.#trees.remove(path);
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, "cannot remove snapshot directory");
    }
  }

  #mounts({ record, parentIds }: SnapshotChain): Mount[] {
    const isView = record.info.kind === SnapshotKind.View;
    const id = isView ? (parentIds[0] ?? record.id) : record.id;
    const options = ["rbind", isView ? "ro" : "rw"];
    return [{ type: "bind", source: this.#layout.snapshot(id), target: "", options }];
  }
}
