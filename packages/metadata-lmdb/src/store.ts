import { join } from "node:path";
import type { ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import type { EventPublisher } from "@ctrd/core/events";
import type { GcStats } from "@ctrd/core/gc";
import type { ImageStore } from "@ctrd/core/images";
import type { LeaseManager } from "@ctrd/core/leases";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { MetadataStore } from "@ctrd/core/metadata";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { NamespacedContentStore } from "./content/content-store.ts";
import type { SharingPolicy } from "./content/ingests.ts";
import { Ingests } from "./content/ingests.ts";
import { MetadataDb } from "./db/database.ts";
import { Pins } from "./db/pins.ts";
import { BackendCleaner } from "./gc/clean-backends.ts";
import { Collector } from "./gc/collector.ts";
import { Garbage } from "./gc/garbage.ts";
import type { Shared } from "./shared.ts";
import { NamespacedSnapshotter } from "./snapshots/snapshotter.ts";
import { ContainerRecords } from "./stores/containers.ts";
import { ImageRecords } from "./stores/images.ts";
import { LeaseRecords } from "./stores/leases.ts";
import { NamespaceRecords } from "./stores/namespaces.ts";
import { SandboxRecords } from "./stores/sandboxes.ts";

/** What a metadata store is opened with. */
export interface MetadataOptions {
  /** Directory of the database `meta.lmdb`; made when missing. */
  root: string;
  /** Backend of all namespaces' content. */
  content: ContentStore;
  /** Backend snapshotters by name. */
  snapshotters?: ReadonlyMap<string, Snapshotter>;
  /** Gets the events of the metadata layer. */
  events?: EventPublisher;
  log?: Logger;
  /** `shared` by default. */
  sharingPolicy?: SharingPolicy;
  /** Do not wait for the disk: for throw-away data only. */
  noSync?: boolean;
}

/**
 * Opens a metadata store.
 *
 * @throws ContainerdError as `openDurableEnv` of `@ctrd/storage`: `data-loss` for a damaged database, naming the file
 *   and the remedy, `failed-precondition` for one of a newer layout
 */
export async function openMetadataStore(options: MetadataOptions): Promise<MetadataStore> {
  const db = await MetadataDb.open({ path: join(options.root, "meta.lmdb"), noSync: options.noSync ?? false });
  const shared: Shared = {
    db,
    pins: new Pins(),
    garbage: new Garbage(),
    log: options.log ?? silentLogger,
    events: options.events,
  };
  return new LmdbMetadataStore(shared, options);
}

class LmdbMetadataStore implements MetadataStore {
  readonly content: ContentStore;
  readonly snapshotters: ReadonlyMap<string, Snapshotter>;
  readonly images: ImageStore;
  readonly containers: ContainerStore;
  readonly leases: LeaseManager;
  readonly namespaces: NamespaceStore;
  readonly sandboxes: SandboxStore;
  readonly #db: MetadataDb;
  readonly #collector: Collector;
  readonly #closing = new AbortController();

  constructor(shared: Shared, options: MetadataOptions) {
    const { db, garbage } = shared;
    const backends = options.snapshotters ?? new Map<string, Snapshotter>();
    const ingests = new Ingests(shared, options.content, options.sharingPolicy ?? "shared");
    this.#db = db;
    this.content = new NamespacedContentStore(shared, options.content, ingests);
    const cleaner = new BackendCleaner(shared, options.content, backends);
    this.snapshotters = new Map(
      [...backends].map(([name, backend]) => {
        const clean = (ctx: CallContext): Promise<void> => cleaner.cleanSnapshotter(ctx, name);
        return [name, new NamespacedSnapshotter({ shared, name, backend, clean })];
      }),
    );
    this.images = new ImageRecords(db);
    this.containers = new ContainerRecords(db);
    this.leases = new LeaseRecords(db);
    this.namespaces = new NamespaceRecords(db, garbage);
    this.sandboxes = new SandboxRecords(db);
    this.#collector = new Collector(shared, ingests, cleaner);
  }

  collectGarbage(ctx: CallContext): Promise<GcStats> {
    return this.#collector.collect(withSignal(ctx, this.#closing.signal));
  }

  onMutation(listener: (dirty: boolean) => void): () => void {
    return this.#db.onMutation(listener);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#collector.idle();
    await this.#db.close();
  }
}
