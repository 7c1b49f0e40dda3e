/** Usage of writable layers without waiting for a walk of them. */
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { kindOf } from "@ctrd/core/errors";
import type { SnapshotUsage } from "@ctrd/core/snapshots";
import type { LayerUsages } from "./sources.ts";

/** Usage of a layer and when it was measured, in milliseconds since the epoch. */
export type LayerUsage = SnapshotUsage & { readonly at: number };

type Usages = ReadonlyMap<string, LayerUsage>;

/** What was measured last, while it is measured again. */
export class CachedLayers {
  readonly #layers: LayerUsages;
  readonly #known = new Map<string, Usages>();
  readonly #looks = new Map<string, Promise<Usages>>();

  constructor(layers: LayerUsages) {
    this.#layers = layers;
  }

  /** Usages by name of the snapshot. Only the first question about a snapshotter waits. */
  async of(ctx: CallContext, snapshotter: string): Promise<Usages> {
    const look = this.#look(ctx, snapshotter);
    return this.#known.get(snapshotter) ?? look;
  }

  #look(ctx: CallContext, snapshotter: string): Promise<Usages> {
    const running = this.#looks.get(snapshotter);
    if (running !== undefined) return running;
    const look = this.#measure(withoutCancellation(ctx), snapshotter);
    this.#looks.set(snapshotter, look);
    return look;
  }

  /** A failure leaves what was known: the numbers get older, and the log tells why. */
  async #measure(ctx: CallContext, snapshotter: string): Promise<Usages> {
    try {
      const usages = await this.#layers.of(ctx, snapshotter);
      this.#known.set(snapshotter, usages);
      return usages;
    } catch (error) {
      ctx.log.warn({ err: error, kind: kindOf(error), snapshotter }, "cannot measure snapshots");
      return this.#known.get(snapshotter) ?? new Map<string, LayerUsage>();
    } finally {
      this.#looks.delete(snapshotter);
    }
  }
}
