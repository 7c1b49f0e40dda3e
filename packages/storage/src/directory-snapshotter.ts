/**
 * The part that snapshotters have in common whose snapshots are directories: records, names, life-cycle, usage,
 * removal and recovery. What is special about one of them is a {@link SnapshotDriver}.
 */
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import type { CallContext } from "@ctrd/core/context";
import { diskError, messageOf } from "@ctrd/core/errors";
import { SharedFlush } from "@ctrd/core/shared-flush";
import { syncFileSystem } from "@ctrd/sys";
import { failpoints } from "@ctrd/core/failpoints";
import { compileFilters, snapshotAdaptor } from "@ctrd/core/filters";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Labels, Mount } from "@ctrd/core/records";
import type {
  CommitSnapshotOptions,
  PrepareOptions,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
} from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { SnapshotDirectories } from "./snapshot-directories.ts";
import { copyInfo } from "./snapshot-record.ts";
import { openSnapshotStore } from "./snapshot-store.ts";
import type { NewSnapshot, SnapshotChain, SnapshotStore } from "./snapshot-store.ts";
import { TreePool } from "./trees.ts";
import { createYield, forEach } from "./turns.ts";

/** What is special about one snapshotter whose snapshots are directories. Only `fill` and `mounts` must be there. */
export interface SnapshotDriver {
  /**
   * Fills the new, empty directory (mode 0700) of an active snapshot or a view. It becomes
   * `directories.of(chain.record.id)` afterwards, whole or not at all. A full disk may be thrown as it is (`ENOSPC`).
   * When it rejects nothing may be writing to `directory` any more.
   */
  fill(ctx: CallContext, directory: string, chain: SnapshotChain): void | Promise<void>;
  /** The mounts that make an active snapshot or a view visible. */
  mounts(chain: SnapshotChain): Mount[] | Promise<Mount[]>;
  /** Whether a new snapshot has a directory of its own. Absent: each has. */
  hasDirectory?(chain: SnapshotChain): boolean;
  /** What of a snapshot's directory counts as its usage. Absent: all of it. */
  measured?(id: string): string;
  /** Labels that are computed: shown with the stored ones and never stored. */
  labels?(id: string): Labels;
  /**
   * Fills again the directory of an active snapshot or a view that a power failure took: records are synced,
   * directories are not. Absent: the loss is logged.
   */
  refill?(directory: string, chain: SnapshotChain): void;
  /** Lets go of a removed snapshot's directory before it is deleted: ends helper processes, say. Mounts are detached anyway. */
  release?(directory: string, log: Logger): void | Promise<void>;
  /** Ends what the driver has started. */
  close?(): Promise<void>;
}

/** Options of {@link openDirectorySnapshotter}; they are looked at when they are needed, and may change. */
export interface DirectorySnapshotterOptions {
  /** Delete a snapshot's directory before `remove` resolves; otherwise `cleanup` does it. */
  syncRemove?: boolean;
  /** Write the file system to its disk before `commit` resolves, so that files outlive a loss of power. */
  syncCommit?: boolean;
  /** For what happens outside calls. */
  log?: Logger;
}

/**
 * Opens a snapshotter whose files are in `directories`, which are made when missing.
 *
 * @throws as `openDurableEnv` for its database, and the errors of creating directories
 */
export function openDirectorySnapshotter(
  directories: SnapshotDirectories,
  driver: SnapshotDriver,
  options: DirectorySnapshotterOptions = {},
): Snapshotter {
  directories.make();
  const store = openSnapshotStore(directories.database);
  try {
    // A directory that a crash left must not be taken for that of a new snapshot.
    store.skipIds(directories.highestId());
    restoreDirectories(directories, driver, store, options.log ?? silentLogger);
  } catch (error) {
    void store.close();
    throw error;
  }
  return new DirectorySnapshotter(directories, driver, store, options);
}

function restoreDirectories(
  directories: SnapshotDirectories,
  driver: SnapshotDriver,
  store: SnapshotStore,
  log: Logger,
): void {
  const present = new Set(readdirSync(directories.snapshots));
  for (const record of store.all()) {
    if (present.has(record.id)) continue;
    const fields = { key: record.info.name, id: record.id };
    if (record.info.kind === SnapshotKind.Committed) {
      log.error(fields, "directory of committed snapshot is missing; remove the image that uses it and pull it again");
      continue;
    }
    const chain = store.chain(record);
    if (driver.hasDirectory?.(chain) === false) continue;
    if (driver.refill === undefined) {
      log.error(fields, "directory of snapshot is missing; remove the container that uses it and create it again");
      continue;
    }
    const unfinished = directories.unfinished(record.id);
    // The power failure may have taken the renaming alone.
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { mode: 0o700 });
    driver.refill(unfinished, chain);
    renameSync(unfinished, directories.of(record.id));
    log.warn(fields, "directory of snapshot was missing and has been made again, empty");
  }
}

/** Enough to keep the threads busy, and more than are removed on the event loop. */
const removalsAtOnce = 64;

class DirectorySnapshotter implements Snapshotter {
  readonly #directories: SnapshotDirectories;
  readonly #driver: SnapshotDriver;
  readonly #store: SnapshotStore;
  readonly #options: DirectorySnapshotterOptions;
  readonly #trees = new TreePool();
  readonly #flush: SharedFlush;

  constructor(
    directories: SnapshotDirectories,
    driver: SnapshotDriver,
    store: SnapshotStore,
    options: DirectorySnapshotterOptions,
  ) {
    this.#directories = directories;
    this.#driver = driver;
    this.#store = store;
    this.#options = options;
    this.#flush = new SharedFlush(() => flushFiles(directories.snapshots));
  }

  async stat(_ctx: CallContext, key: string): Promise<SnapshotInfo> {
    return this.#labelled(this.#store.get(key).id, this.#store.stat(key));
  }

  async update(_ctx: CallContext, info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    const { id } = this.#store.get(info.name);
    const labels = new Map(info.labels);
    // A client that sends back what stat gave does not want the computed ones stored.
    for (const label of this.#driver.labels?.(id).keys() ?? []) labels.delete(label);
    return this.#labelled(id, await this.#store.update({ ...info, labels }, mask));
  }

  async usage(ctx: CallContext, key: string): Promise<SnapshotUsage> {
    const { id, info, usage } = this.#store.get(key);
    return info.kind === SnapshotKind.Active ? await this.#measure(id, ctx.signal) : { ...usage };
  }

  async mounts(_ctx: CallContext, key: string): Promise<Mount[]> {
    return await this.#driver.mounts(this.#store.mountable(key));
  }

  prepare(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    return this.#create(ctx, { kind: SnapshotKind.Active, key, parent, labels: options.labels });
  }

  view(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    return this.#create(ctx, { kind: SnapshotKind.View, key, parent, labels: options.labels });
  }

  async commit(ctx: CallContext, name: string, key: string, options: CommitSnapshotOptions = {}): Promise<void> {
    const { id } = this.#store.checkCommit(name, key, options);
    const usage = await this.#measure(id, ctx.signal);
    // A committed snapshot is never made again, and its record outlives a loss of power.
    if (this.#options.syncCommit === true) await this.#flush.run();
    FAILPOINT: if (failpoints.on) await failpoints.at("snapshot.commit");
    await this.#store.commit(name, key, usage, options);
  }

  async remove(ctx: CallContext, key: string): Promise<void> {
    const { id } = await this.#store.remove(key);
    FAILPOINT: if (failpoints.on) await failpoints.at("snapshot.remove");
    if (this.#options.syncRemove === true) await this.#removeDirectory(this.#directories.of(id), ctx.log);
  }

  async *walk(_ctx: CallContext, filters: readonly string[]): AsyncGenerator<SnapshotInfo> {
    const matches = compileFilters(filters);
    const yieldTurn = createYield();
    // A copy of the list: records come and go meanwhile.
    for (const { id, info } of Array.from(this.#store.all())) {
      if (matches(snapshotAdaptor(info))) yield this.#labelled(id, copyInfo(info));
      await yieldTurn();
    }
  }

  async cleanup(ctx: CallContext): Promise<void> {
    const paths = await this.#directories.orphans(() => this.#store.ids());
    await forEach(paths, removalsAtOnce, async (path) => {
      if (!ctx.signal.aborted) await this.#removeDirectory(path, ctx.log);
    });
  }

  async close(): Promise<void> {
    await this.#store.close();
    await Promise.all([this.#trees.close(), this.#driver.close?.()]);
  }

  async #create(ctx: CallContext, wanted: NewSnapshot): Promise<Mount[]> {
    const chain = await this.#store.create(wanted, {
      make: (draft) => this.#make(ctx, draft),
      discard: async (id) => {
        for (const path of [this.#directories.unfinished(id), this.#directories.of(id)]) {
          await this.#removeDirectory(path, ctx.log);
        }
      },
    });
    return await this.#driver.mounts(chain);
  }

  /**
   * Builds the directory beside its place and renames it. The calls are synchronous: each is quick, and waiting for
   * the thread pool between them would take longer.
   */
  async #make(ctx: CallContext, chain: SnapshotChain): Promise<void> {
    if (this.#driver.hasDirectory?.(chain) === false) return;
    const { id, info } = chain.record;
    const directory = this.#directories.unfinished(id);
    try {
      mkdirSync(directory, 0o700);
      FAILPOINT: if (failpoints.on) failpoints.hit("snapshot.fill");
      const filling = this.#driver.fill(ctx, directory, chain);
      // One that was filled at once needs no turn of the event loop.
      if (filling !== undefined) await filling;
      FAILPOINT: if (failpoints.on) failpoints.hit("snapshot.rename");
      renameSync(directory, this.#directories.of(id));
    } catch (error) {
      throw diskError(`create snapshot "${info.name}"`, error);
    }
  }

  #measure(id: string, signal: AbortSignal): Promise<SnapshotUsage> {
    return this.#trees.diskUsage(this.#driver.measured?.(id) ?? this.#directories.of(id), signal);
  }

  /** Removes a directory tree in a worker thread. A failure is logged: the next cleanup tries again. */
  async #removeDirectory(path: string, log: Logger): Promise<void> {
    try {
      await this.#driver.release?.(path, log);
      FAILPOINT: if (failpoints.on) await failpoints.at("snapshot.remove-directory");
      await this.#trees.remove(path);
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, "cannot remove snapshot directory");
    }
  }

  #labelled(id: string, info: SnapshotInfo): SnapshotInfo {
    for (const [label, value] of this.#driver.labels?.(id) ?? []) info.labels.set(label, value);
    return info;
  }
}

/** Writes the file system of a directory to its disk. */
async function flushFiles(path: string): Promise<void> {
  try {
    await syncFileSystem(path);
  } catch (error) {
    throw diskError(`write the files below ${path} to the disk`, error);
  }
}
