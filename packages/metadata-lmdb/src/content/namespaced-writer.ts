/**
 * A writer of a namespace over a writer of the backend, or over a blob that the backend has already.
 */
import { ContentCreate } from "@ctrd/api/events/content";
import type { CommitOptions, ContentInfo, ContentStore, ContentWriter, IngestStatus } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, invalidArgument, isKind } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";
import type { IngestRecord } from "../db/records.ts";
import type { Shared } from "../shared.ts";
import { blobPin, publish } from "../shared.ts";
import { checkLease, joinLease } from "../stores/lease-resources.ts";
import { removeIngest } from "./ingest-records.ts";

/** Bytes copied at once when a shared blob has to become an own ingest. */
const copyChunk = 1 << 20;

/** What a writer is made of. */
export interface WriterParts {
  readonly shared: Shared;
  readonly store: ContentStore;
  readonly namespace: string;
  readonly ref: string;
  readonly record: IngestRecord;
  /** Absent while the ingest stands for a blob of the backend. */
  readonly backend: ContentWriter | undefined;
  /** Releases the ref. */
  readonly onClose: () => void;
}

export class NamespacedWriter implements ContentWriter {
  readonly #parts: WriterParts;
  #backend: ContentWriter | undefined;
  #closed = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#backend = parts.backend;
  }

  status(): IngestStatus {
    const { ref, record } = this.#parts;
    return { ...(this.#backend?.status() ?? record.status), ref };
  }

  async write(data: Uint8Array): Promise<void> {
    this.#checkOpen();
    if (data.length === 0) return;
    // More bytes than the shared blob has: the ingest needs bytes of its own.
    this.#backend ??= await this.#unshare(this.#parts.record.status.total);
    await this.#backend.write(data);
  }

  async truncate(size: bigint): Promise<void> {
    this.#checkOpen();
    if (this.#backend !== undefined) return this.#backend.truncate(size);
    const { total } = this.#parts.record.status;
    if (size > total) throw invalidArgument(`truncate ingest "${this.#parts.ref}" to ${size}: it has ${total} bytes`);
    this.#backend = await this.#unshare(size);
  }

  async digest(): Promise<string> {
    return this.#backend === undefined ? this.#parts.record.status.expected : this.#backend.digest();
  }

  async commit(ctx: CallContext, options: CommitOptions = {}): Promise<void> {
    this.#checkOpen();
    const { shared, namespace } = this.#parts;
    const unpins: (() => void)[] = [];
    try {
      const labels = withoutEmptyLabels(options.labels ?? new Map<string, string>());
      checkLabels(labels);
      checkLease(shared.db, ctx, namespace);
      const expected = options.expected ?? "";
      const digest = expected === "" ? await this.digest() : expected;
      // From here to the end of the metadata write the blob must not be cleaned away.
      unpins.push(await shared.pins.pin(blobPin(digest)));
      const size = this.#backend === undefined ? this.#checkShared(options) : await this.#commitBackend(ctx, options);
      FAILPOINT: if (failpoints.on) await failpoints.at("content.record");
      const at = now();
      const created = await this.#publishBlob(ctx, { digest, size, labels, createdAt: at, updatedAt: at });
      if (!created) throw alreadyExists(`content "${digest}" in namespace "${namespace}"`);
      await publish(shared, ctx, namespace, {
        topic: "/content/create",
        name: "containerd.events.ContentCreate",
        codec: ContentCreate,
        message: ContentCreate.create({ digest, size }),
      });
    } finally {
      for (const unpin of unpins) unpin();
      await this.close();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#backend?.close();
    } finally {
      this.#parts.onClose();
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw failedPrecondition(`ingest "${this.#parts.ref}": the writer is closed`);
  }

  #checkShared({ size, expected }: CommitOptions): bigint {
    const { ref, record } = this.#parts;
    const { total, expected: digest } = record.status;
    if (size !== undefined && size > 0n && size !== total) {
      throw failedPrecondition(`commit ingest "${ref}": size is ${total}, expected ${size}`);
    }
    if (expected !== undefined && expected !== "" && expected !== digest) {
      throw failedPrecondition(`commit ingest "${ref}": digest is ${digest}, expected ${expected}`);
    }
    return total;
  }

  /** Commits in the backend; a blob that is there already, from another namespace, is as good. */
  async #commitBackend(ctx: CallContext, { size, expected }: CommitOptions): Promise<bigint> {
    const writer = this.#backend as ContentWriter;
    const { offset } = writer.status();
    if (size !== undefined && size > 0n && size !== offset) {
      throw failedPrecondition(`commit ingest "${this.#parts.ref}": size is ${offset}, expected ${size}`);
    }
    try {
      await writer.commit(ctx, {
        ...(size === undefined ? {} : { size }),
        ...(expected === undefined ? {} : { expected }),
      });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
    }
    return offset;
  }

  /** Makes the blob visible in the namespace; false when it was. The ingest and its place in the lease are gone. */
  async #publishBlob(ctx: CallContext, info: ContentInfo): Promise<boolean> {
    const { shared, namespace, ref, record } = this.#parts;
    const { db, garbage } = shared;
    try {
      const created = await db.write(() => {
        const isNew = !db.blobs.has(namespace, info.digest);
        db.ensureNamespace(namespace);
        if (isNew) db.blobs.put(info, namespace, info.digest);
        removeIngest(shared, ctx, namespace, ref, record);
        joinLease(db, ctx, namespace, "content", info.digest);
        return isNew;
      });
      // Bytes from before another namespace uploaded the blob may be there all the same.
      if (this.#backend === undefined) garbage.addIngest(record.backendRef);
      return created;
    } catch (error) {
      garbage.addBlob(info.digest);
      throw error;
    }
  }

  /** Starts an own ingest with the first `size` bytes of the shared blob. */
  async #unshare(size: bigint): Promise<ContentWriter> {
    const { store, record } = this.#parts;
    const ctx = createContext({ namespace: this.#parts.namespace, log: this.#parts.shared.log });
    const writer = await store.writer(ctx, { ref: record.backendRef });
    try {
      await writer.truncate(0n);
      if (size > 0n) await copyBlob(ctx, store, record.status.expected, size, writer);
      await this.#forgetShared(size);
      return writer;
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  /** The backend has an ingest now: the record no longer stands for the blob. */
  async #forgetShared(size: bigint): Promise<void> {
    const { shared, namespace, ref, record } = this.#parts;
    await shared.db.write(() => {
      shared.db.sharedIngests.remove(record.status.expected, namespace, ref);
      const status: IngestStatus = { ...record.status, offset: size, total: 0n, expected: "" };
      shared.db.ingests.put({ ...record, status }, namespace, ref);
    });
  }
}

async function copyBlob(
  ctx: CallContext,
  store: ContentStore,
  digest: string,
  size: bigint,
  writer: ContentWriter,
): Promise<void> {
  const reader = await store.reader(ctx, digest);
  try {
    const buffer = new Uint8Array(copyChunk);
    for (let at = 0n; at < size;) {
      const rest = size - at;
      const chunk = await reader.read(at, rest < BigInt(copyChunk) ? Number(rest) : copyChunk, buffer);
      await writer.write(chunk);
      at += BigInt(chunk.length);
    }
  } finally {
    await reader.close();
  }
}
