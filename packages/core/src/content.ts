/**
 * The content store: immutable blobs by digest, and resumable ingests by ref.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Labels, Timestamp } from "./records.ts";

/** Plugins that store content (backends; the metadata plugin namespaces them). */
export const ContentPlugin: PluginType<ContentStore> = pluginType("io.containerd.content.v1");

/** What is known of a blob. `size` is in bytes. */
export interface ContentInfo {
  digest: string;
  size: bigint;
  createdAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
  labels: Labels;
}

/** State of an ingest. `offset` is the number of bytes so far; `total` is 0 and `expected` empty when not known. */
export interface IngestStatus {
  ref: string;
  offset: bigint;
  total: bigint;
  expected: string;
  startedAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
}

/** How to open a writer. */
export interface WriterOptions {
  /** Name of the ingest; one writer at a time. */
  ref: string;
  /** Expected size in bytes, when known. */
  total?: bigint;
  /** Expected digest, when known. */
  expected?: string;
}

/** How to commit. */
export interface CommitOptions {
  /** Expected size in bytes; checked when positive. */
  size?: bigint;
  /** Expected digest; checked when not empty. */
  expected?: string;
  labels?: Labels;
}

/** An open ingest. Closing without commit keeps the bytes, so that the ref can be resumed. */
export interface ContentWriter {
  status(): IngestStatus;
  /** Appends `data` at the current offset. The caller may reuse `data` once the promise resolves. */
  write(data: Uint8Array): Promise<void>;
  /** Cuts the ingest to `size` bytes. @throws `invalid-argument` when it is larger than the current offset. */
  truncate(size: bigint): Promise<void>;
  /** Digest (sha256) of the bytes so far. */
  digest(): Promise<string>;
  /**
   * Makes the blob durable and visible. The writer is closed afterwards, also on failure.
   *
   * @throws `failed-precondition` on a size or digest mismatch (the ingest stays), `already-exists` when the blob
   * is there already (the ingest is removed)
   */
  commit(ctx: CallContext, options?: CommitOptions): Promise<void>;
  close(): Promise<void>;
}

/** Random access to a blob. */
export interface ContentReader {
  /** Bytes in the blob. */
  readonly size: bigint;
  /** A local file with exactly these bytes, when there is one; valid until `close`. */
  readonly path?: string;
  /**
   * Up to `length` bytes from `offset`; fewer only at the end.
   *
   * @param buffer memory that the result may use, so that a loop need not have a fresh megabyte per turn (which costs
   * more than the read itself); it may be ignored. Without it the result belongs to the caller.
   */
  read(offset: bigint, length: number, buffer?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Reads blobs. */
export interface ContentProvider {
  /** @throws `not-found` */
  reader(ctx: CallContext, digest: string): Promise<ContentReader>;
}

/** A content store. */
export interface ContentStore extends ContentProvider {
  /** @throws `not-found` */
  info(ctx: CallContext, digest: string): Promise<ContentInfo>;
  /**
   * Changes labels. `mask` holds `labels` or `labels.<key>` paths; an empty mask replaces all labels.
   *
   * @throws `not-found`, `invalid-argument` for another path
   */
  update(ctx: CallContext, info: ContentInfo, mask: readonly string[]): Promise<ContentInfo>;
  /** Blobs that match any of `filters`; all when there are none. */
  list(ctx: CallContext, filters: readonly string[]): AsyncIterable<ContentInfo>;
  /** @throws `not-found` */
  delete(ctx: CallContext, digest: string): Promise<void>;
  /** @throws `not-found` when the ref has no ingest */
  status(ctx: CallContext, ref: string): Promise<IngestStatus>;
  listStatuses(ctx: CallContext, filters: readonly string[]): Promise<IngestStatus[]>;
  /** Removes an ingest. @throws `not-found` */
  abort(ctx: CallContext, ref: string): Promise<void>;
  /**
   * Opens or resumes an ingest.
   *
   * @throws `invalid-argument` without a ref, `already-exists` when `expected` is in the store, `unavailable` when
   * the ref is locked by another writer
   */
  writer(ctx: CallContext, options: WriterOptions): Promise<ContentWriter>;
}
