/**
 * Garbage collection: the metadata store collects, the scheduler decides when.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";

export const GcPlugin: PluginType<GcScheduler> = pluginType("io.containerd.gc.v1");

/** What one collection did. Times are in milliseconds. */
export interface GcStats {
  /** Time during which metadata writes had to wait. */
  pauseMs: number;
  totalMs: number;
  /** Objects removed from metadata, by kind (`content`, `snapshot`, `image`, `lease`, `ingest`). */
  removed: Map<string, number>;
}

/** Something that can be collected; the metadata store is. */
export interface GarbageCollector {
  collectGarbage(ctx: CallContext): Promise<GcStats>;
  /** Calls `listener` after every metadata write; `dirty` when it may have made garbage. Returns the unsubscriber. */
  onMutation(listener: (dirty: boolean) => void): () => void;
}

export interface GcScheduler {
  /** Triggers a collection and resolves when one that started after this call has finished. */
  scheduleAndWait(ctx: CallContext): Promise<GcStats>;
}
