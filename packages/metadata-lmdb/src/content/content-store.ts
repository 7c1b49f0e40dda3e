/**
 * The content store of namespaces: which namespace sees which blob, with which labels. Bytes are the backend's.
 */
import { ContentDelete } from "@ctrd/api/events/content";
import type {
  ContentInfo,
  ContentReader,
  ContentStore,
  ContentWriter,
  IngestStatus,
  WriterOptions,
} from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { notFound } from "@ctrd/core/errors";
import { applyLabelMask } from "@ctrd/core/field-mask";
import { compileFilters, contentAdaptor } from "@ctrd/core/filters";
import { checkLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";
import { checkKeyPart } from "../db/keys.ts";
import type { Shared } from "../shared.ts";
import { blobPin, publish } from "../shared.ts";
import { leaveLease } from "../stores/lease-resources.ts";
import type { Ingests } from "./ingests.ts";

export class NamespacedContentStore implements ContentStore {
  readonly #shared: Shared;
  readonly #backend: ContentStore;
  readonly #ingests: Ingests;

  constructor(shared: Shared, backend: ContentStore, ingests: Ingests) {
    this.#shared = shared;
    this.#backend = backend;
    this.#ingests = ingests;
  }

  async info(ctx: CallContext, digest: string): Promise<ContentInfo> {
    return this.#require(requireNamespace(ctx), digest);
  }

  async update(ctx: CallContext, info: ContentInfo, mask: readonly string[]): Promise<ContentInfo> {
    const namespace = requireNamespace(ctx);
    const { digest } = info;
    checkKeyPart("digest", digest);
    return this.#shared.db.write(() => {
      const current = this.#require(namespace, digest);
      const labels = applyLabelMask(current.labels, info.labels, mask, `content "${digest}"`);
      checkLabels(labels);
      const record: ContentInfo = { ...current, labels, updatedAt: now() };
      this.#shared.db.blobs.put(record, namespace, digest);
      return record;
    });
  }

  async *list(ctx: CallContext, filters: readonly string[]): AsyncGenerator<ContentInfo> {
    const namespace = requireNamespace(ctx);
    const matches = compileFilters(filters);
    for await (const rows of this.#shared.db.blobs.pages([namespace], ctx.signal)) {
      for (const { record } of rows) if (matches(contentAdaptor(record))) yield record;
    }
  }

  async delete(ctx: CallContext, digest: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    const { db, garbage } = this.#shared;
    checkKeyPart("digest", digest);
    await db.write((scope) => {
      this.#require(namespace, digest);
      db.blobs.remove(namespace, digest);
      leaveLease(db, ctx, namespace, "content", digest);
      scope.dirty();
    });
    garbage.addBlob(digest);
    await publish(this.#shared, ctx, namespace, {
      topic: "/content/delete",
      name: "containerd.events.ContentDelete",
      codec: ContentDelete,
      message: { digest },
    });
  }

  /** The blob stays in the backend until the reader is closed, even when it is deleted meanwhile. */
  async reader(ctx: CallContext, digest: string): Promise<ContentReader> {
    const namespace = requireNamespace(ctx);
    this.#require(namespace, digest);
    const unpin = await this.#shared.pins.pin(blobPin(digest));
    let reader: ContentReader;
    try {
      reader = await this.#backend.reader(ctx, digest);
    } catch (error) {
      unpin();
      throw error;
    }
    let closing: Promise<void> | undefined;
    return {
      size: reader.size,
      ...(reader.path === undefined ? {} : { path: reader.path }),
      read: (offset, length, buffer) => reader.read(offset, length, buffer),
      close: () => (closing ??= reader.close().finally(unpin)),
    };
  }

  async status(ctx: CallContext, ref: string): Promise<IngestStatus> {
    return this.#ingests.status(ctx, requireNamespace(ctx), ref);
  }

  async listStatuses(ctx: CallContext, filters: readonly string[]): Promise<IngestStatus[]> {
    return this.#ingests.list(ctx, requireNamespace(ctx), filters);
  }

  async abort(ctx: CallContext, ref: string): Promise<void> {
    await this.#ingests.abort(ctx, requireNamespace(ctx), ref);
  }

  async writer(ctx: CallContext, options: WriterOptions): Promise<ContentWriter> {
    return this.#ingests.open(ctx, requireNamespace(ctx), options);
  }

  #require(namespace: string, digest: string): ContentInfo {
    checkKeyPart("digest", digest);
    const info = this.#shared.db.blobs.get(namespace, digest);
    if (info === undefined) throw notFound(`content "${digest}" in namespace "${namespace}"`);
    return info;
  }
}
