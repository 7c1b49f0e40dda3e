/**
 * The database: its tables, grouped durable writes, and what the stores and the collector share about them.
 */
import { Info as BlobInfo } from "@ctrd/api/services/content/v1/content";
import { Container } from "@ctrd/api/services/containers/v1/containers";
import { Image } from "@ctrd/api/services/images/v1/images";
import { Lease } from "@ctrd/api/services/leases/v1/leases";
import { Namespace } from "@ctrd/api/services/namespaces/v1/namespace";
import { Sandbox } from "@ctrd/api/types/sandbox";
import { openDurableEnv } from "@ctrd/storage";
import type { DurableEnv } from "@ctrd/storage";
import { failpoints } from "@ctrd/core/failpoints";
import type { NodeKind } from "../gc/nodes.ts";
import { nodeOf } from "../gc/nodes.ts";
import type { Codec } from "./table.ts";
import { keyOnly, Table } from "./table.ts";
import type { IngestRecord, SnapshotRecord } from "./records.ts";
import { ingestCodec, snapshotCodec } from "./records.ts";

/** What a write can say about itself. */
export interface WriteScope {
  /** This write may have made garbage. */
  dirty(): void;
}

/** Options of {@link MetadataDb.open}. */
export interface DatabaseOptions {
  path: string;
  noSync?: boolean;
}

/** Sequence numbers are taken from disk in blocks, so that taking one needs no write. */
const sequenceBlock = 4096;

/** Opened tables. Keys begin with the namespace unless said otherwise. */
export class MetadataDb {
  readonly namespaces: Table<Namespace>;
  readonly images: Table<Image>;
  readonly containers: Table<Container>;
  readonly sandboxes: Table<Sandbox>;
  readonly leases: Table<Lease>;
  /** `[ns, lease, type, id]` */
  readonly leaseResources: Table<true>;
  readonly blobs: Table<BlobInfo>;
  readonly ingests: Table<IngestRecord>;
  /** Ingests that stand for a blob of the backend: `[digest, ns, ref]`. */
  readonly sharedIngests: Table<true>;
  /** `[ns, snapshotter, key]` */
  readonly snapshots: Table<SnapshotRecord>;
  /** `[ns, snapshotter, parent, short child]` */
  readonly snapshotChildren: Table<true>;
  /** Who names a backend snapshot: `[snapshotter, short backend key, ns, short key]`. */
  readonly snapshotBackends: Table<true>;

  /** Nodes written since a collection began; the collector sets it (see `gc/collector.ts`). */
  touched: Set<string> | undefined;

  readonly #env: DurableEnv;
  readonly #listeners = new Set<(dirty: boolean) => void>();
  #nextSequence = 0;
  #sequenceLimit = 0;
  #extending: Promise<void> | undefined;

  private constructor(env: DurableEnv) {
    this.#env = env;
    const table = <T>(name: string, codec: Codec<T>, kind?: NodeKind): Table<T> =>
      new Table(env.openDb(name), codec, kind === undefined ? undefined : (key) => this.touch(nodeOf(kind, key)));
    this.namespaces = table("namespaces", Namespace);
    this.images = table("images", Image, "image");
    this.containers = table("containers", Container, "container");
    this.sandboxes = table("sandboxes", Sandbox, "sandbox");
    this.leases = table("leases", Lease, "lease");
    this.leaseResources = table("lease-resources", keyOnly);
    this.blobs = table("blobs", BlobInfo, "content");
    this.ingests = table("ingests", ingestCodec, "ingest");
    this.sharedIngests = table("shared-ingests", keyOnly);
    this.snapshots = table("snapshots", snapshotCodec, "snapshot");
    this.snapshotChildren = table("snapshot-children", keyOnly);
    this.snapshotBackends = table("snapshot-backends", keyOnly);
  }

  /** @throws as `openDurableEnv` */
  static async open(options: DatabaseOptions): Promise<MetadataDb> {
    const env = openDurableEnv({
      path: options.path,
      noSync: options.noSync ?? false,
      schema: { name: "metadata", version: 1 },
    });
    const db = new MetadataDb(env);
    try {
      await db.#extendSequence();
    } catch (error) {
      await env.close();
      throw error;
    }
    return db;
  }

  /** Runs `fn` in a write transaction; resolves when it is on disk. See `DurableEnv.write`. */
  async write<T>(fn: (scope: WriteScope) => T): Promise<T> {
    let dirty = false;
    const scope: WriteScope = { dirty: () => void (dirty = true) };
    const result = await this.#env.write(() => {
      const written = fn(scope);
      FAILPOINT: if (failpoints.on) failpoints.hit("metadata.commit");
      return written;
    });
    for (const listener of this.#listeners) listener(dirty);
    return result;
  }

  /** Like `write`, for the collector: it tells no listener, or a collection would cause the next one. */
  writeQuietly<T>(fn: () => T): Promise<T> {
    return this.#env.write(fn);
  }

  /** Calls `listener` after each write. Returns the unsubscriber. */
  onMutation(listener: (dirty: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells a running collection that `node` may have become reachable, or points elsewhere. */
  touch(node: string): void {
    this.touched?.add(node);
  }

  /** Makes the record of `namespace` unless it is there. Within a write transaction. */
  ensureNamespace(namespace: string): void {
    if (!this.namespaces.has(namespace)) this.namespaces.put({ name: namespace, labels: new Map() }, namespace);
  }

  /** A number that no other call got, in this or an earlier run. */
  async nextSequence(): Promise<number> {
    while (this.#nextSequence >= this.#sequenceLimit) {
      this.#extending ??= this.#extendSequence().finally(() => (this.#extending = undefined));
      await this.#extending;
    }
    return this.#nextSequence++;
  }

  close(): Promise<void> {
    return this.#env.close();
  }

  async #extendSequence(): Promise<void> {
    const meta = this.#env.openDb("meta");
    const start = await this.#env.write(() => {
      const stored = meta.get("sequence");
      const first = stored === undefined ? 1 : Number(Buffer.from(stored).toString());
      void meta.put("sequence", Buffer.from(String(first + sequenceBlock)));
      return first;
    });
    this.#nextSequence = start;
    this.#sequenceLimit = start + sequenceBlock;
  }
}
