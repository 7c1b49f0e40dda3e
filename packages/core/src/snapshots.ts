/**
 * Snapshotters: layered file system state, described as mounts that the caller performs.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Labels, Mount, Timestamp } from "./records.ts";

/** Plugins that are snapshotters (backends; the metadata plugin namespaces them). */
export const SnapshotPlugin: PluginType<Snapshotter> = pluginType("io.containerd.snapshotter.v1");

/** Kinds of snapshots, with their numbers on the wire. */
export const SnapshotKind = { Unknown: 0, View: 1, Active: 2, Committed: 3 } as const;
export type SnapshotKind = (typeof SnapshotKind)[keyof typeof SnapshotKind];

/** What is known of a snapshot. `parent` is empty for a base layer. */
export interface SnapshotInfo {
  name: string;
  parent: string;
  kind: SnapshotKind;
  createdAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
  labels: Labels;
}

/** Disk use of one snapshot without its parents: bytes and inodes. */
export interface SnapshotUsage {
  size: bigint;
  inodes: bigint;
}

/** Options of prepare and view. */
export interface PrepareOptions {
  labels?: Labels;
}

/** Options of commit. `parent` gives one to an active snapshot that has none (capability `rebase`). */
export interface CommitSnapshotOptions {
  labels?: Labels;
  parent?: string;
}

/** Label of a Prepare that names the committed snapshot it is to become; a remote snapshotter may answer it. */
export const snapshotRefLabel = "containerd.io/snapshot.ref";
/** Labels with this prefix (and {@link snapshotRefLabel}) reach the backend; others stay in the metadata store. */
export const inheritedLabelPrefix = "containerd.io/snapshot/";

/** A snapshotter. */
export interface Snapshotter {
  /** @throws `not-found` */
  stat(ctx: CallContext, key: string): Promise<SnapshotInfo>;
  /** Changes labels; `mask` as in `ContentStore.update`. */
  update(ctx: CallContext, info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo>;
  /** Active: computed now; committed: as stored at commit; view: zero. @throws `not-found` */
  usage(ctx: CallContext, key: string): Promise<SnapshotUsage>;
  /** Mounts of an active snapshot or view. @throws `not-found`, `failed-precondition` for a committed one */
  mounts(ctx: CallContext, key: string): Promise<Mount[]>;
  /**
   * Makes a writable snapshot on `parent` (empty = none).
   *
   * @throws `not-found` without the parent, `invalid-argument` when it is not committed, `already-exists`
   */
  prepare(ctx: CallContext, key: string, parent: string, options?: PrepareOptions): Promise<Mount[]>;
  /** Like prepare, read-only. */
  view(ctx: CallContext, key: string, parent: string, options?: PrepareOptions): Promise<Mount[]>;
  /**
   * Turns the active snapshot `key` into the committed snapshot `name`; `key` is gone afterwards.
   *
   * @throws `not-found`, `already-exists` when `name` exists, `failed-precondition` when `key` is not active
   */
  commit(ctx: CallContext, name: string, key: string, options?: CommitSnapshotOptions): Promise<void>;
  /** @throws `not-found`, `failed-precondition` when it has children */
  remove(ctx: CallContext, key: string): Promise<void>;
  /** Snapshots that match any of `filters`; all when there are none. */
  walk(ctx: CallContext, filters: readonly string[]): AsyncIterable<SnapshotInfo>;
  /** Frees what earlier removals left behind. Absent: nothing to do. */
  cleanup?(ctx: CallContext): Promise<void>;
  close(): Promise<void>;
}

/** Snapshotters by name, as services see them. @throws `invalid-argument` for an empty or unknown name */
export interface SnapshotterLookup {
  get(name: string): Snapshotter;
}
