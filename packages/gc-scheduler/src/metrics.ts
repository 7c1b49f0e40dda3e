import type { GarbageCollector } from "@ctrd/core/gc";
import type { MetricsSource } from "@ctrd/services";
import { Counter, Histogram } from "@ctrd/services";

/** Counts collections, under containerd's names. */
export class GcMetrics implements MetricsSource {
  readonly #collections = new Counter({
    name: "containerd_gc_collections_total",
    help: "Collections, by whether they worked.",
    labelled: true,
  });
  readonly #seconds = new Histogram({ name: "containerd_gc_gc_seconds", help: "Duration of collections." });

  /** The same collector, its collections counted. */
  counting(collector: GarbageCollector): GarbageCollector {
    return {
      onMutation: (listener) => collector.onMutation(listener),
      collectGarbage: async (ctx) => {
        const start = performance.now();
        try {
          const stats = await collector.collectGarbage(ctx);
          this.#collections.add(1, { status: "success" });
          this.#seconds.observe((performance.now() - start) / 1000);
          return stats;
        } catch (error) {
          this.#collections.add(1, { status: "fail" });
          throw error;
        }
      },
    };
  }

  write(writer: Parameters<MetricsSource["write"]>[0]): void {
    this.#collections.write(writer);
    this.#seconds.write(writer);
  }
}
