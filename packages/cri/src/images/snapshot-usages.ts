/**
 * What snapshots use, looked at now and then: disk is not walked for every question.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { SnapshotterLookup, SnapshotUsage } from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";

/** Usage of one snapshot. */
export interface KnownUsage extends SnapshotUsage {
  readonly kind: SnapshotKind;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

interface Look {
  readonly at: number;
  readonly usages: Promise<ReadonlyMap<string, KnownUsage>>;
}

/** Usages of the snapshots of each snapshotter, at most `periodMs` old. */
export class SnapshotUsages {
  readonly #snapshotters: SnapshotterLookup;
  readonly #periodMs: number;
  readonly #looks = new Map<string, Look>();

  constructor(snapshotters: SnapshotterLookup, periodMs: number) {
    this.#snapshotters = snapshotters;
    this.#periodMs = periodMs;
  }

  /** Usages by name of the snapshot. */
  async of(ctx: CallContext, snapshotter: string): Promise<ReadonlyMap<string, KnownUsage>> {
    const last = this.#looks.get(snapshotter);
    if (last !== undefined && Date.now() - last.at < this.#periodMs) return last.usages;
    const usages = last === undefined ? this.#look(ctx, snapshotter, new Map()) : this.#again(ctx, snapshotter, last);
    this.#looks.set(snapshotter, { at: Date.now(), usages });
    usages.catch(() => this.#looks.delete(snapshotter));
    return usages;
  }

  /** Bytes and inodes of all snapshots. */
  async total(ctx: CallContext, snapshotter: string): Promise<SnapshotUsage> {
    const sum = { size: 0n, inodes: 0n };
    for (const { size, inodes } of (await this.of(ctx, snapshotter)).values()) {
      sum.size += size;
      sum.inodes += inodes;
    }
    return sum;
  }

  async #again(ctx: CallContext, snapshotter: string, last: Look): Promise<ReadonlyMap<string, KnownUsage>> {
    return this.#look(ctx, snapshotter, await last.usages.catch(() => new Map<string, KnownUsage>()));
  }

  async #look(
    ctx: CallContext,
    name: string,
    known: ReadonlyMap<string, KnownUsage>,
  ): Promise<ReadonlyMap<string, KnownUsage>> {
    const snapshotter = this.#snapshotters.get(name);
    // Whoever asked first may leave; others wait for the answer too.
    const lasting = withoutCancellation(ctx);
    const usages = new Map<string, KnownUsage>();
    for await (const { name: key, kind } of snapshotter.walk(lasting, [])) {
      const before = known.get(key);
      if (before !== undefined && before.kind === kind && kind !== SnapshotKind.Active) {
        usages.set(key, before);
        continue;
      }
      try {
        usages.set(key, { ...(await snapshotter.usage(lasting, key)), kind, at: Date.now() });
      } catch (error) {
        // Removed in between.
        if (!isKind(error, "not-found")) throw error;
      }
    }
    return usages;
  }
}
