/**
 * Ingests of namespaces: one writer per ref, backend refs, sharing of blobs that the backend has already.
 */
import type { ContentInfo, ContentStore, ContentWriter, IngestStatus, WriterOptions } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { formatGoDuration } from "@ctrd/core/durations";
import { alreadyExists, isKind, notFound, unavailable } from "@ctrd/core/errors";
import { compileFilters, ingestAdaptor } from "@ctrd/core/filters";
import type { Operation } from "@ctrd/core/operations";
import { describeOperation } from "@ctrd/core/operations";
import { now } from "@ctrd/core/records";
import { checkKeyPart } from "../db/keys.ts";
import type { IngestRecord } from "../db/records.ts";
import type { Shared } from "../shared.ts";
import { blobPin, ingestPin } from "../shared.ts";
import { checkLease, joinLease } from "../stores/lease-resources.ts";
import { removeIngest } from "./ingest-records.ts";
import { NamespacedWriter } from "./namespaced-writer.ts";

/** Which namespaces may make a blob visible without uploading it. */
export type SharingPolicy = "shared" | "isolated";

/** Label of a namespace whose blobs others may share under the policy `isolated`. */
const shareableLabel = "containerd.io/namespace.shareable";

/** An ingest without a lease is collected this long after it was opened. */
const ingestLifetimeMs = 24 * 60 * 60 * 1000;

/** Ingests asked from the backend at once: each is some files to open. */
const pageSize = 64;

export class Ingests {
  readonly #shared: Shared;
  readonly #backend: ContentStore;
  readonly #policy: SharingPolicy;
  /** Refs that have an open writer, with the time of opening and who opened it. */
  readonly #open = new Map<string, { since: number; operation: Operation | undefined }>();

  constructor(shared: Shared, backend: ContentStore, policy: SharingPolicy) {
    this.#shared = shared;
    this.#backend = backend;
    this.#policy = policy;
  }

  /** Whether a writer is open: its ingest is not to be collected. */
  isOpen(namespace: string, ref: string): boolean {
    return this.#open.has(`${namespace}\0${ref}`);
  }

  async open(ctx: CallContext, namespace: string, options: WriterOptions): Promise<ContentWriter> {
    checkKeyPart("ingest ref", options.ref);
    const release = this.#lock(ctx, namespace, options.ref);
    const unpins: (() => void)[] = [];
    const close = (): void => {
      for (const unpin of unpins) unpin();
      release();
    };
    try {
      const expected = options.expected ?? "";
      if (expected !== "") {
        checkKeyPart("digest", expected);
        unpins.push(await this.#shared.pins.pin(blobPin(expected)));
        await this.#refuseExisting(ctx, namespace, expected);
      }
      const blob = expected === "" ? undefined : await this.#sharedBlob(ctx, expected, options.total ?? 0n);
      const record = await this.#record(ctx, namespace, options.ref, blob);
      unpins.push(await this.#shared.pins.pin(ingestPin(record.backendRef)));
      const backend =
        blob === undefined
          ? await this.#backend.writer(ctx, { ref: record.backendRef, ...total(options.total) })
          : undefined;
      return new NamespacedWriter({
        shared: this.#shared,
        store: this.#backend,
        namespace,
        ref: options.ref,
        record,
        backend,
        onClose: close,
      });
    } catch (error) {
      close();
      throw error;
    }
  }

  async status(ctx: CallContext, namespace: string, ref: string): Promise<IngestStatus> {
    checkKeyPart("ingest ref", ref);
    const record = this.#shared.db.ingests.get(namespace, ref);
    if (record === undefined) throw notFound(`ingest "${ref}" in namespace "${namespace}"`);
    const status = await this.#statusOf(ctx, record);
    if (status === undefined) throw notFound(`ingest "${ref}" in namespace "${namespace}"`);
    return { ...status, ref };
  }

  async list(ctx: CallContext, namespace: string, filters: readonly string[]): Promise<IngestStatus[]> {
    const matches = compileFilters(filters);
    const statuses: IngestStatus[] = [];
    for await (const rows of this.#shared.db.ingests.pages([namespace], ctx.signal, pageSize)) {
      const page = await Promise.all(
        rows.map(async ({ key, record }) => {
          const ref = key[1] ?? "";
          const status = matches(ingestAdaptor({ ...record.status, ref }))
            ? await this.#statusOf(ctx, record)
            : undefined;
          return status === undefined ? undefined : { ...status, ref };
        }),
      );
      statuses.push(...page.filter((status) => status !== undefined));
    }
    return statuses;
  }

  async abort(ctx: CallContext, namespace: string, ref: string): Promise<void> {
    const { db, garbage } = this.#shared;
    checkKeyPart("ingest ref", ref);
    const record = await db.write(() => {
      const found = db.ingests.get(namespace, ref);
      if (found === undefined) throw notFound(`ingest "${ref}" in namespace "${namespace}"`);
      removeIngest(this.#shared, ctx, namespace, ref, found);
      return found;
    });
    if (record.status.expected !== "") {
      // Bytes from before another namespace uploaded the blob may be there all the same.
      garbage.addIngest(record.backendRef);
      return;
    }
    try {
      await this.#backend.abort(ctx, record.backendRef);
    } catch (error) {
      if (isKind(error, "not-found")) return;
      garbage.addIngest(record.backendRef);
      throw error;
    }
  }

  #lock(ctx: CallContext, namespace: string, ref: string): () => void {
    const key = `${namespace}\0${ref}`;
    const open = this.#open.get(key);
    if (open !== undefined) {
      const held = formatGoDuration(Date.now() - open.since);
      const holder = open.operation === undefined ? "" : `, held by ${describeOperation(open.operation)}`;
      throw unavailable(`ref ${ref} locked for ${held} (since ${new Date(open.since).toISOString()})${holder}`);
    }
    this.#open.set(key, { since: Date.now(), operation: ctx.operation });
    return () => this.#open.delete(key);
  }

  /** A blob that the namespace has joins the lease of the call all the same: the caller counts on it. */
  async #refuseExisting(ctx: CallContext, namespace: string, digest: string): Promise<void> {
    const { db } = this.#shared;
    if (!db.blobs.has(namespace, digest)) return;
    if (ctx.lease !== undefined && ctx.lease !== "") {
      const exists = await db.write(() => {
        if (!db.blobs.has(namespace, digest)) return false;
        return joinLease(db, ctx, namespace, "content", digest);
      });
      if (!exists) return;
    }
    throw alreadyExists(`content "${digest}" in namespace "${namespace}"`);
  }

  /** The blob of the backend that can stand for an upload; `size` 0 = any. */
  async #sharedBlob(ctx: CallContext, digest: string, size: bigint): Promise<ContentInfo | undefined> {
    if (this.#policy === "isolated" && !this.#isShareable(digest)) return undefined;
    try {
      const info = await this.#backend.info(ctx, digest);
      return size === 0n || size === info.size ? info : undefined;
    } catch (error) {
      // A malformed digest names no blob; the commit reports it.
      if (isKind(error, "not-found") || isKind(error, "invalid-argument")) return undefined;
      throw error;
    }
  }

  #isShareable(digest: string): boolean {
    const { db } = this.#shared;
    for (const { record } of db.namespaces.under()) {
      if (record.labels.get(shareableLabel) === "true" && db.blobs.has(record.name, digest)) return true;
    }
    return false;
  }

  /** The record of the ref, made or brought up to date. */
  async #record(
    ctx: CallContext,
    namespace: string,
    ref: string,
    blob: ContentInfo | undefined,
  ): Promise<IngestRecord> {
    const { db } = this.#shared;
    checkLease(db, ctx, namespace);
    const fresh = `${namespace}/${await db.nextSequence()}/${ref}`;
    return db.write(() => {
      const old = db.ingests.get(namespace, ref);
      if (old !== undefined && old.status.expected !== "") db.sharedIngests.remove(old.status.expected, namespace, ref);
      db.ensureNamespace(namespace);
      const leased = joinLease(db, ctx, namespace, "ingests", ref);
      const at = now();
      const record: IngestRecord = {
        backendRef: old?.backendRef ?? fresh,
        expiresAt: leased ? 0 : Date.now() + ingestLifetimeMs,
        status: {
          ref,
          offset: blob?.size ?? 0n,
          total: blob?.size ?? 0n,
          expected: blob?.digest ?? "",
          startedAt: old?.status.startedAt ?? at,
          updatedAt: at,
        },
      };
      db.ingests.put(record, namespace, ref);
      if (blob !== undefined) db.sharedIngests.put(true, blob.digest, namespace, ref);
      return record;
    });
  }

  async #statusOf(ctx: CallContext, record: IngestRecord): Promise<IngestStatus | undefined> {
    if (record.status.expected !== "") return record.status;
    try {
      return await this.#backend.status(ctx, record.backendRef);
    } catch (error) {
      if (isKind(error, "not-found")) return undefined;
      throw error;
    }
  }
}

function total(size: bigint | undefined): { total?: bigint } {
  return size === undefined ? {} : { total: size };
}
