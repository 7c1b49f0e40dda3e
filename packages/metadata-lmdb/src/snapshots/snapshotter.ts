/**
 * A snapshotter of namespaces: keys, labels, parents and leases are kept here, the file systems by the backend, under
 * keys `<namespace>/<sequence>/<key>` of its own.
 *
 * No write transaction is open while the backend works. A call holds the locks of its keys in memory, pins the backend
 * keys that it is about to name, lets the backend work, and then writes the metadata; when that fails the backend's
 * work is undone, and what a crash leaves behind is found by the first collection.
 */
import { SnapshotCommit, SnapshotPrepare, SnapshotRemove } from "@ctrd/api/events/snapshot";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { applyLabelMask } from "@ctrd/core/field-mask";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import type { Mount } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type {
  CommitSnapshotOptions,
  PrepareOptions,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
} from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { traced } from "@ctrd/core/tracing";
import { checkKeyPart } from "../db/keys.ts";
import { KeyLocks } from "../db/key-locks.ts";
import type { SnapshotRecord } from "../db/records.ts";
import type { Shared } from "../shared.ts";
import { publish, snapshotPin } from "../shared.ts";
import { checkLease, joinLease, leaveLease, snapshotResource } from "../stores/lease-resources.ts";
import { inheritedLabels, overlayInfo } from "./backend-info.ts";
import { createSnapshot } from "./create.ts";
import { putSnapshot, removeSnapshot } from "./snapshot-records.ts";
import { undoBackend } from "./undo.ts";
import { walkSnapshots } from "./walk.ts";

/** The parts of a snapshotter that its operations share. */
export interface SnapshotterScope {
  readonly shared: Shared;
  readonly name: string;
  readonly backend: Snapshotter;
  /** Removes from the backend what was removed here. */
  readonly clean: (ctx: CallContext) => Promise<void>;
}

export class NamespacedSnapshotter implements Snapshotter {
  readonly #scope: SnapshotterScope;
  readonly #locks = new KeyLocks();

  constructor(scope: SnapshotterScope) {
    this.#scope = scope;
  }

  async stat(ctx: CallContext, key: string): Promise<SnapshotInfo> {
    const { backendKey, info } = this.#require(requireNamespace(ctx), key);
    return overlayInfo(await this.#scope.backend.stat(ctx, backendKey), info);
  }

  async update(ctx: CallContext, wanted: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    const namespace = requireNamespace(ctx);
    const { name: key } = wanted;
    checkKeyPart("snapshot key", key);
    const { shared, name, backend } = this.#scope;
    const release = await this.#locks.acquire([`${namespace}\0${key}`], ctx);
    try {
      const { backendKey, info } = this.#require(namespace, key);
      const labels = applyLabelMask(info.labels, wanted.labels, mask, `snapshot "${key}"`);
      checkLabels(labels);
      const inner: SnapshotInfo = { ...info, name: backendKey, labels: inheritedLabels(labels) };
      const updated = await backend.update(ctx, inner, mask);
      const record: SnapshotRecord = { backendKey, info: { ...info, labels, updatedAt: now() } };
      await shared.db.write(() => {
        this.#require(namespace, key);
        shared.db.snapshots.put(record, namespace, name, key);
      });
      return overlayInfo(updated, record.info);
    } finally {
      release();
    }
  }

  async usage(ctx: CallContext, key: string): Promise<SnapshotUsage> {
    return this.#scope.backend.usage(ctx, this.#require(requireNamespace(ctx), key).backendKey);
  }

  async mounts(ctx: CallContext, key: string): Promise<Mount[]> {
    const { backendKey } = this.#require(requireNamespace(ctx), key);
    const { backend, name } = this.#scope;
    return traced(ctx, "snapshot.mounts", { snapshotter: name }, (inner) => backend.mounts(inner, backendKey));
  }

  async prepare(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    const namespace = requireNamespace(ctx);
    const mounts = await this.#create(ctx, namespace, SnapshotKind.Active, key, parent, options);
    await publish(this.#scope.shared, ctx, namespace, {
      topic: "/snapshot/prepare",
      name: "containerd.events.SnapshotPrepare",
      codec: SnapshotPrepare,
      message: { key, parent, snapshotter: this.#scope.name },
    });
    return mounts;
  }

  async view(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    return this.#create(ctx, requireNamespace(ctx), SnapshotKind.View, key, parent, options);
  }

  async commit(ctx: CallContext, name: string, key: string, options: CommitSnapshotOptions = {}): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("snapshot name", name);
    checkKeyPart("snapshot key", key);
    const labels = withoutEmptyLabels(options.labels ?? new Map<string, string>());
    checkLabels(labels);
    const release = await this.#locks.acquire([`${namespace}\0${name}`, `${namespace}\0${key}`], ctx);
    try {
      await traced(ctx, "snapshot.commit", { snapshotter: this.#scope.name }, (inner) =>
        this.#commitLocked(inner, namespace, { name, key, labels, parent: options.parent ?? "" }),
      );
    } finally {
      release();
    }
    await publish(this.#scope.shared, ctx, namespace, {
      topic: "/snapshot/commit",
      name: "containerd.events.SnapshotCommit",
      codec: SnapshotCommit,
      message: { key, name, snapshotter: this.#scope.name },
    });
  }

  async remove(ctx: CallContext, key: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("snapshot key", key);
    const { shared, name } = this.#scope;
    const { db, garbage } = shared;
    const release = await this.#locks.acquire([`${namespace}\0${key}`], ctx);
    try {
      const removed = await db.write((scope) => {
        const record = this.#require(namespace, key);
        if (!db.snapshotChildren.isEmpty(namespace, name, key)) {
          throw failedPrecondition(`remove snapshot "${key}": cannot remove snapshot with child`);
        }
        removeSnapshot(db, [namespace, name, key], record);
        leaveLease(db, ctx, namespace, snapshotResource(name), key);
        scope.dirty();
        return record;
      });
      garbage.addSnapshot(name, removed.backendKey);
    } finally {
      release();
    }
    await publish(shared, ctx, namespace, {
      topic: "/snapshot/remove",
      name: "containerd.events.SnapshotRemove",
      codec: SnapshotRemove,
      message: { key, snapshotter: name },
    });
  }

  walk(ctx: CallContext, filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    return walkSnapshots(this.#scope, ctx, filters);
  }

  async cleanup(ctx: CallContext): Promise<void> {
    await this.#scope.clean(ctx);
  }

  /** The backend belongs to its plugin, which closes it. */
  async close(): Promise<void> {}

  async #create(
    ctx: CallContext,
    namespace: string,
    kind: SnapshotKind,
    key: string,
    parent: string,
    options: PrepareOptions,
  ): Promise<Mount[]> {
    checkKeyPart("snapshot key", key);
    const labels = withoutEmptyLabels(options.labels ?? new Map<string, string>());
    checkLabels(labels);
    const release = await this.#locks.acquire([`${namespace}\0${key}`], ctx);
    try {
      return await traced(ctx, "snapshot.create", { snapshotter: this.#scope.name }, (inner) =>
        createSnapshot(this.#scope, inner, { namespace, kind, key, parent, labels }),
      );
    } finally {
      release();
    }
  }

  async #commitLocked(
    ctx: CallContext,
    namespace: string,
    { name, key, labels, parent: rebase }: { name: string; key: string; labels: Map<string, string>; parent: string },
  ): Promise<void> {
    const { shared, name: snapshotter, backend } = this.#scope;
    const { db, pins } = shared;
    checkLease(db, ctx, namespace);
    if (db.snapshots.has(namespace, snapshotter, name)) {
      await db.write(() => joinLease(db, ctx, namespace, snapshotResource(snapshotter), name));
      throw alreadyExists(`snapshot "${name}"`);
    }
    const active = this.#require(namespace, key);
    if (rebase !== "" && active.info.parent !== "" && active.info.parent !== rebase) {
      throw invalidArgument(`commit snapshot "${key}" on "${rebase}": it has the parent "${active.info.parent}"`);
    }
    const parent = active.info.parent === "" ? rebase : active.info.parent;
    const parentKey = parent === "" ? "" : this.#requireParent(namespace, parent).backendKey;
    const backendKey = `${namespace}/${await db.nextSequence()}/${name}`;
    const unpins = [await pins.pin(snapshotPin(snapshotter, backendKey))];
    try {
      unpins.push(await pins.pin(snapshotPin(snapshotter, active.backendKey)));
      await backend.commit(ctx, backendKey, active.backendKey, {
        labels: inheritedLabels(labels),
        ...(active.info.parent === "" && parentKey !== "" ? { parent: parentKey } : {}),
      });
      FAILPOINT: if (failpoints.on) await failpoints.at("snapshot.record-commit");
      const at = now();
      const info = { name, parent, kind: SnapshotKind.Committed, createdAt: at, updatedAt: at, labels };
      await this.#writeCommit(ctx, namespace, key, { backendKey, info });
    } finally {
      for (const unpin of unpins) unpin();
    }
  }

  async #writeCommit(ctx: CallContext, namespace: string, key: string, record: SnapshotRecord): Promise<void> {
    const { shared, name: snapshotter } = this.#scope;
    const { db } = shared;
    const { name, parent } = record.info;
    try {
      await db.write(() => {
        // A collection or the end of the namespace may have come first.
        const active = this.#require(namespace, key);
        if (parent !== "") this.#requireParent(namespace, parent);
        removeSnapshot(db, [namespace, snapshotter, key], active);
        leaveLease(db, ctx, namespace, snapshotResource(snapshotter), key);
        db.ensureNamespace(namespace);
        putSnapshot(db, [namespace, snapshotter, name], record);
        joinLease(db, ctx, namespace, snapshotResource(snapshotter), name);
      });
    } catch (error) {
      await undoBackend(this.#scope, ctx, record.backendKey);
      throw error;
    }
  }

  #require(namespace: string, key: string): SnapshotRecord {
    checkKeyPart("snapshot key", key);
    const record = this.#scope.shared.db.snapshots.get(namespace, this.#scope.name, key);
    if (record === undefined) throw notFound(`snapshot "${key}" does not exist`);
    return record;
  }

  #requireParent(namespace: string, parent: string): SnapshotRecord {
    checkKeyPart("parent snapshot", parent);
    const record = this.#scope.shared.db.snapshots.get(namespace, this.#scope.name, parent);
    if (record === undefined) throw notFound(`parent snapshot "${parent}" does not exist`);
    return record;
  }
}
