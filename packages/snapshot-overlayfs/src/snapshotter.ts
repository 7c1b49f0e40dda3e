import { readdirSync } from "node:fs";
import type { CallContext } from "@ctrd/core/context";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Mount } from "@ctrd/core/records";
import type {
  CommitSnapshotOptions,
  PrepareOptions,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
} from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { openSnapshotStore, TreePool } from "@ctrd/storage";
import type { NewSnapshot, SnapshotChain, SnapshotRecord, SnapshotStore } from "@ctrd/storage";
import { discardSnapshot, orphans, removeDirectory } from "./cleanup.ts";
import { highestId, makeRoot, makeSnapshot } from "./directories.ts";
import { Layout } from "./layout.ts";
import { extraOptions, snapshotMounts } from "./mount-options.ts";
import type { OverlayFeatures } from "./mount-options.ts";

/** Label that shows a snapshot's upper directory, when asked for. */
export const upperdirLabel = "containerd.io/snapshot/overlay.upperdir";

/** Options of {@link openOverlaySnapshotter}. */
export interface OverlayOptions {
  /** From `probeOverlay`. */
  features: OverlayFeatures;
  /** Add {@link upperdirLabel} to every information. */
  upperdirLabel?: boolean;
  /** Delete a snapshot's directory before `remove` resolves; otherwise `cleanup` does it. */
  syncRemove?: boolean;
  /** Further options of overlay mounts. */
  mountOptions?: readonly string[];
  /** For what happens outside calls. */
  log?: Logger;
}

/**
 * Opens the overlay snapshotter whose files are in `root`, which is created when missing.
 *
 * @throws as `openDurableEnv` for its database, and the errors of creating directories
 */
export function openOverlaySnapshotter(root: string, options: OverlayOptions): Snapshotter {
  const layout = new Layout(root);
  makeRoot(layout);
  const store = openSnapshotStore(layout.database);
  store.skipIds(highestId(layout));
  restoreDirectories(layout, store, options.log ?? silentLogger);
  return new OverlaySnapshotter(layout, store, options);
}

/**
 * Records are synced, the directories made before them are not: after a power failure an active snapshot may lack
 * them. It was empty then, so it gets them again.
 */
function restoreDirectories(layout: Layout, store: SnapshotStore, log: Logger): void {
  const present = new Set(readdirSync(layout.snapshots));
  for (const record of store.all()) {
    if (present.has(record.id)) continue;
    const fields = { key: record.info.name, id: record.id };
    if (record.info.kind === SnapshotKind.Committed) {
      log.error(fields, "directory of committed snapshot is missing; remove the image that uses it and pull it again");
      continue;
    }
    makeSnapshot(layout, store.chain(record));
    log.warn(fields, "directory of snapshot was missing and has been made again, empty");
  }
}

class OverlaySnapshotter implements Snapshotter {
  readonly #layout: Layout;
  readonly #store: SnapshotStore;
  readonly #options: OverlayOptions;
  readonly #extra: readonly string[];
  readonly #trees = new TreePool();

  constructor(layout: Layout, store: SnapshotStore, options: OverlayOptions) {
    this.#layout = layout;
    this.#store = store;
    this.#options = options;
    this.#extra = extraOptions(options.mountOptions ?? [], options.features);
  }

  async stat(_ctx: CallContext, key: string): Promise<SnapshotInfo> {
    return this.#labelled(this.#store.get(key).id, this.#store.stat(key));
  }

  async update(_ctx: CallContext, info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    const labels = new Map(info.labels);
    // It was added by stat: a client that sends back what it got does not want it stored.
    labels.delete(upperdirLabel);
    const updated = await this.#store.update({ ...info, labels }, mask);
    return this.#labelled(this.#store.get(updated.name).id, updated);
  }

  async usage(ctx: CallContext, key: string): Promise<SnapshotUsage> {
    const { id, info, usage } = this.#store.get(key);
    if (info.kind === SnapshotKind.Active) return await this.#trees.diskUsage(this.#layout.upper(id), ctx.signal);
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
    const usage = await this.#trees.diskUsage(this.#layout.upper(id), ctx.signal);
    await this.#store.commit(name, key, usage, options);
  }

  async remove(ctx: CallContext, key: string): Promise<void> {
    const { id } = await this.#store.remove(key);
    if (this.#options.syncRemove === true) await removeDirectory(this.#trees, this.#layout.snapshot(id), ctx.log);
  }

  async *walk(_ctx: CallContext, filters: readonly string[]): AsyncGenerator<SnapshotInfo> {
    for (const { id, info } of this.#store.walk(filters)) yield this.#labelled(id, info);
  }

  async cleanup(ctx: CallContext): Promise<void> {
    const paths = orphans(this.#layout, this.#store.ids());
    await Promise.all(paths.map((path) => removeDirectory(this.#trees, path, ctx.log)));
  }

  async close(): Promise<void> {
    await this.#store.close();
    await this.#trees.close();
  }

  async #create(ctx: CallContext, wanted: NewSnapshot): Promise<Mount[]> {
    const chain = await this.#store.create(wanted, {
      make: (draft) => makeSnapshot(this.#layout, draft),
      discard: (id) => discardSnapshot(this.#layout, id, ctx.log),
    });
    return this.#mounts(chain);
  }

  #mounts(chain: SnapshotChain): Mount[] {
    return snapshotMounts(this.#layout, chain, this.#extra, this.#options.features);
  }

  #labelled(id: SnapshotRecord["id"], info: SnapshotInfo): SnapshotInfo {
    if (this.#options.upperdirLabel === true) info.labels.set(upperdirLabel, this.#layout.upper(id));
    return info;
  }
}
