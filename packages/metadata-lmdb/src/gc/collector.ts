/**
 * Mark and sweep.
 *
 * Calls go on while the graph is scanned and marked. What they write in that time is noted (`MetadataDb.touched`), in
 * the order of the write transactions: the note-taking begins within one, so every write before it is visible to the
 * scan and every write after it is noted. Each transaction of the sweep first takes the noted records into the graph,
 * as they are within that transaction, and counts them as kept. So whatever a call has made reachable before the
 * sweep's transaction is kept, whether or not the scan came past in time, and what is not reachable is at worst kept
 * until the next collection.
 */
import type { CallContext } from "@ctrd/core/context";
import { failpoints } from "@ctrd/core/failpoints";
import type { GcStats } from "@ctrd/core/gc";
import type { Ingests } from "../content/ingests.ts";
import type { Shared } from "../shared.ts";
import type { BackendCleaner } from "./clean-backends.ts";
import { Graph } from "./graph.ts";
import { Slices } from "./slices.ts";
import { sweep } from "./sweep.ts";

export class Collector {
  readonly #shared: Shared;
  readonly #ingests: Ingests;
  readonly #cleaner: BackendCleaner;
  #last: Promise<unknown> = Promise.resolve();

  constructor(shared: Shared, ingests: Ingests, cleaner: BackendCleaner) {
    this.#shared = shared;
    this.#ingests = ingests;
    this.#cleaner = cleaner;
  }

  /** Collects once, after any collection that is under way. @throws the signal's reason, or a failure to write */
  collect(ctx: CallContext): Promise<GcStats> {
    const run = this.#last.then(() => this.#collect(ctx));
    this.#last = run.catch(() => {
      // Whoever asked for that run has the error.
    });
    return run;
  }

  /** Resolves when no collection is under way. */
  async idle(): Promise<void> {
    await this.#last;
  }

  async #collect(ctx: CallContext): Promise<GcStats> {
    ctx.signal.throwIfAborted();
    const begin = performance.now();
    const { db } = this.#shared;
    const slices = new Slices(ctx.signal);
    const isOpen = (namespace: string, ref: string): boolean => this.#ingests.isOpen(namespace, ref);
    let removed: Map<string, number>;
    try {
      await slices.wait(db.writeQuietly(() => void (db.touched = new Set())));
      const graph = new Graph({ db, nowMs: Date.now(), isOpen });
      await graph.scan(slices);
      FAILPOINT: if (failpoints.on) await failpoints.at("gc.mark");
      await graph.mark(slices);
      removed = await sweep(this.#shared, ctx, graph, isOpen, slices);
    } finally {
      db.touched = undefined;
    }
    FAILPOINT: if (failpoints.on) await failpoints.at("gc.clean");
    await this.#cleaner.clean(ctx);
    return { pauseMs: slices.busyMs, totalMs: performance.now() - begin, removed };
  }
}
