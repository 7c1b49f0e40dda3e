/** A content backend in memory, whose operations a test can hold up or let fail. */
import { createHash } from "node:crypto";
import type {
  CommitOptions,
  ContentInfo,
  ContentReader,
  ContentStore,
  ContentWriter,
  IngestStatus,
  WriterOptions,
} from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, notFound } from "@ctrd/core/errors";
import { now } from "@ctrd/core/records";

/** Called before an operation: `commit`, `delete`, `abort`, `writer`, `list`. */
export type Hook = (operation: string, key: string) => void | Promise<void>;

export class MemoryContent implements ContentStore {
  readonly blobs = new Map<string, Uint8Array>();
  readonly ingests = new Map<string, { data: Buffer; status: IngestStatus }>();
  hook: Hook = () => {};

  async info(_ctx: CallContext, digest: string): Promise<ContentInfo> {
    const data = this.blobs.get(digest);
    if (data === undefined) throw notFound(`content ${digest}`);
    return { digest, size: BigInt(data.length), createdAt: now(), updatedAt: now(), labels: new Map() };
  }

  async update(ctx: CallContext, info: ContentInfo): Promise<ContentInfo> {
    return this.info(ctx, info.digest);
  }

  async *list(ctx: CallContext): AsyncGenerator<ContentInfo> {
    await this.hook("list", "");
    for (const digest of [...this.blobs.keys()]) yield await this.info(ctx, digest);
  }

  async delete(_ctx: CallContext, digest: string): Promise<void> {
    await this.hook("delete", digest);
    if (!this.blobs.delete(digest)) throw notFound(`content ${digest}`);
  }

  async status(_ctx: CallContext, ref: string): Promise<IngestStatus> {
    const ingest = this.ingests.get(ref);
    if (ingest === undefined) throw notFound(`ingest ${ref}`);
    return ingest.status;
  }

  async listStatuses(): Promise<IngestStatus[]> {
    return [...this.ingests.values()].map(({ status }) => status);
  }

  async abort(_ctx: CallContext, ref: string): Promise<void> {
    await this.hook("abort", ref);
    if (!this.ingests.delete(ref)) throw notFound(`ingest ${ref}`);
  }

  async reader(_ctx: CallContext, digest: string): Promise<ContentReader> {
    const data = this.blobs.get(digest);
    if (data === undefined) throw notFound(`content ${digest}`);
    return {
      size: BigInt(data.length),
      read: async (offset, length) => data.slice(Number(offset), Number(offset) + length),
      close: async () => {},
    };
  }

  async writer(_ctx: CallContext, { ref, total = 0n }: WriterOptions): Promise<ContentWriter> {
    await this.hook("writer", ref);
    const at = now();
    const fresh = { ref, offset: 0n, total, expected: "", startedAt: at, updatedAt: at };
    if (!this.ingests.has(ref)) this.ingests.set(ref, { data: Buffer.alloc(0), status: fresh });
    return new MemoryWriter(this, ref);
  }
}

class MemoryWriter implements ContentWriter {
  readonly #store: MemoryContent;
  readonly #ref: string;

  constructor(store: MemoryContent, ref: string) {
    this.#store = store;
    this.#ref = ref;
  }

  status(): IngestStatus {
    return this.#ingest().status;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#set(Buffer.concat([this.#ingest().data, data]));
  }

  async truncate(size: bigint): Promise<void> {
    this.#set(this.#ingest().data.subarray(0, Number(size)));
  }

  async digest(): Promise<string> {
    return digestOf(this.#ingest().data);
  }

  async commit(_ctx: CallContext, { expected = "", size = 0n }: CommitOptions = {}): Promise<void> {
    const { data } = this.#ingest();
    const digest = digestOf(data);
    await this.#store.hook("commit", digest);
    if (size > 0n && size !== BigInt(data.length)) throw failedPrecondition("size");
    if (expected !== "" && expected !== digest) throw failedPrecondition("digest");
    this.#store.ingests.delete(this.#ref);
    if (this.#store.blobs.has(digest)) throw alreadyExists(`content ${digest}`);
    this.#store.blobs.set(digest, data);
    await this.#store.hook("committed", digest);
  }

  async close(): Promise<void> {}

  #ingest(): { data: Buffer; status: IngestStatus } {
    const ingest = this.#store.ingests.get(this.#ref);
    if (ingest === undefined) throw notFound(`ingest ${this.#ref}`);
    return ingest;
  }

  #set(data: Buffer): void {
    const { status } = this.#ingest();
    this.#store.ingests.set(this.#ref, { data, status: { ...status, offset: BigInt(data.length) } });
  }
}

/** sha256 digest. */
export function digestOf(data: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
