/** A snapshot backend in memory, whose operations a test can hold up or let fail. */
import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type {
  CommitSnapshotOptions,
  PrepareOptions,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
} from "@ctrd/core/snapshots";
import { SnapshotKind, snapshotRefLabel } from "@ctrd/core/snapshots";
import type { Hook } from "./memory-content.ts";

export class MemorySnapshotter implements Snapshotter {
  readonly snapshots = new Map<string, SnapshotInfo>();
  /** Targets that it claims to have, as a remote snapshotter does. */
  readonly remoteTargets = new Set<string>();
  cleanups = 0;
  walks = 0;
  hook: Hook = () => {};

  async stat(_ctx: CallContext, key: string): Promise<SnapshotInfo> {
    return this.#get(key);
  }

  async update(ctx: CallContext, info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    await this.hook("update", info.name);
    const current = await this.stat(ctx, info.name);
    const labels = new Map(mask.length === 0 || mask.includes("labels") ? [] : current.labels);
    for (const [key, value] of info.labels) labels.set(key, value);
    for (const path of mask) {
      const key = path.slice("labels.".length);
      if (path.startsWith("labels.") && !info.labels.has(key)) labels.delete(key);
    }
    const updated = { ...current, labels };
    this.snapshots.set(info.name, updated);
    return updated;
  }

  async usage(_ctx: CallContext, key: string): Promise<SnapshotUsage> {
    this.#get(key);
    return { size: 42n, inodes: 1n };
  }

  async mounts(_ctx: CallContext, key: string): Promise<Mount[]> {
    if (this.#get(key).kind === SnapshotKind.Committed) throw failedPrecondition(`snapshot ${key} is committed`);
    return [{ type: "bind", source: `/memory/${key}`, target: "", options: [] }];
  }

  async prepare(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    await this.hook("prepare", key);
    const target = options.labels?.get(snapshotRefLabel) ?? "";
    if (this.remoteTargets.has(target)) {
      // As stargz does: what it has begun becomes the target, or stays when the target is there already.
      const [name, kind] = this.snapshots.has(`remote/${target}`)
        ? [key, SnapshotKind.Active]
        : [`remote/${target}`, SnapshotKind.Committed];
      this.#put(name, parent, kind, options.labels);
      throw alreadyExists(`target ${target}`);
    }
    return this.#create(ctx, key, parent, SnapshotKind.Active, options);
  }

  async view(ctx: CallContext, key: string, parent: string, options: PrepareOptions = {}): Promise<Mount[]> {
    await this.hook("view", key);
    return this.#create(ctx, key, parent, SnapshotKind.View, options);
  }

  async commit(_ctx: CallContext, name: string, key: string, options: CommitSnapshotOptions = {}): Promise<void> {
    await this.hook("commit", name);
    const active = this.#get(key);
    if (active.kind !== SnapshotKind.Active) throw failedPrecondition(`snapshot ${key} is not active`);
    if (this.snapshots.has(name)) throw alreadyExists(`snapshot ${name}`);
    this.#put(name, options.parent ?? active.parent, SnapshotKind.Committed, options.labels);
    this.snapshots.delete(key);
    await this.hook("committed", name);
  }

  async remove(_ctx: CallContext, key: string): Promise<void> {
    await this.hook("remove", key);
    this.#get(key);
    for (const info of this.snapshots.values()) {
      if (info.parent === key) throw failedPrecondition(`snapshot ${key} has a child`);
    }
    this.snapshots.delete(key);
  }

  async *walk(): AsyncGenerator<SnapshotInfo> {
    this.walks++;
    for (const info of [...this.snapshots.values()]) yield info;
  }

  async cleanup(): Promise<void> {
    this.cleanups++;
  }

  async close(): Promise<void> {}

  #create(
    ctx: CallContext,
    key: string,
    parent: string,
    kind: SnapshotKind,
    { labels }: PrepareOptions,
  ): Promise<Mount[]> {
    if (this.snapshots.has(key)) throw alreadyExists(`snapshot ${key}`);
    if (parent !== "" && this.#get(parent).kind !== SnapshotKind.Committed) {
      throw invalidArgument(`parent ${parent} is not committed`);
    }
    this.#put(key, parent, kind, labels);
    return this.mounts(ctx, key);
  }

  #put(name: string, parent: string, kind: SnapshotKind, labels: Map<string, string> = new Map()): void {
    this.snapshots.set(name, { name, parent, kind, createdAt: now(), updatedAt: now(), labels: new Map(labels) });
  }

  #get(key: string): SnapshotInfo {
    const info = this.snapshots.get(key);
    if (info === undefined) throw notFound(`snapshot ${key}`);
    return info;
  }
}
