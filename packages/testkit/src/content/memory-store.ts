/**
 * A content store in memory, for tests of what needs one.
 *
 * @module
 */
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
import { isDigest, parseDigest } from "@ctrd/core/digests";
import { alreadyExists, failedPrecondition, invalidArgument, notFound, unavailable } from "@ctrd/core/errors";
import { applyLabelMask } from "@ctrd/core/field-mask";
import { compileFilters, contentAdaptor, ingestAdaptor } from "@ctrd/core/filters";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";

interface Blob {
  data: Buffer;
  info: ContentInfo;
}

interface Ingest {
  parts: Buffer[];
  status: IngestStatus;
  open: boolean;
}

/** Makes an empty store. It has labels and no namespaces, and its readers have no files. */
export function createMemoryContentStore(): ContentStore {
  return new MemoryContentStore();
}

class MemoryContentStore implements ContentStore {
  readonly #blobs = new Map<string, Blob>();
  readonly #ingests = new Map<string, Ingest>();

  async info(_ctx: CallContext, digest: string): Promise<ContentInfo> {
    return copyOf(this.#blob(digest).info);
  }

  async update(_ctx: CallContext, wanted: ContentInfo, mask: readonly string[]): Promise<ContentInfo> {
    const blob = this.#blob(wanted.digest);
    const labels = applyLabelMask(blob.info.labels, wanted.labels, mask, `content "${wanted.digest}"`);
    checkLabels(labels);
    blob.info = { ...blob.info, labels, updatedAt: now() };
    return copyOf(blob.info);
  }

  async *list(_ctx: CallContext, filters: readonly string[]): AsyncGenerator<ContentInfo> {
    const matches = compileFilters(filters);
    for (const { info } of [...this.#blobs.values()]) if (matches(contentAdaptor(info))) yield copyOf(info);
  }

  async delete(_ctx: CallContext, digest: string): Promise<void> {
    this.#blob(digest);
    this.#blobs.delete(digest);
  }

  async status(_ctx: CallContext, ref: string): Promise<IngestStatus> {
    return { ...this.#ingest(ref).status };
  }

  async listStatuses(_ctx: CallContext, filters: readonly string[]): Promise<IngestStatus[]> {
    const matches = compileFilters(filters);
    const statuses = [...this.#ingests.values()].map(({ status }) => ({ ...status }));
    return statuses.filter((status) => matches(ingestAdaptor(status)));
  }

  async abort(_ctx: CallContext, ref: string): Promise<void> {
    this.#ingest(ref);
    this.#ingests.delete(ref);
  }

  async reader(_ctx: CallContext, digest: string): Promise<ContentReader> {
    const { data } = this.#blob(digest);
    let closed = false;
    return {
      size: BigInt(data.length),
      async read(offset, length) {
        if (closed) throw failedPrecondition(`read content ${digest}: the reader is closed`);
        if (offset < 0n) throw invalidArgument(`read content ${digest}: offset ${offset} is negative`);
        return new Uint8Array(data.subarray(Number(offset), Number(offset) + length));
      },
      async close() {
        closed = true;
      },
    };
  }

  async writer(_ctx: CallContext, options: WriterOptions): Promise<ContentWriter> {
    const { ref, total = 0n, expected = "" } = options;
    if (ref === "") throw invalidArgument("open a writer: it must have a ref");
    if (total < 0n) throw invalidArgument(`open writer "${ref}": total ${total} is negative`);
    if (expected !== "") {
      parseDigest(expected);
      if (this.#blobs.has(expected)) throw alreadyExists(`content ${expected}`);
    }
    const found = this.#ingests.get(ref);
    if (found?.open === true) throw unavailable(`ref "${ref}" is locked by another writer`);
    const at = now();
    const status = { ref, offset: 0n, total, expected, startedAt: at, updatedAt: at };
    const isOther = found !== undefined && total > 0n && found.status.total > 0n && found.status.total !== total;
    const ingest = found === undefined || isOther ? { parts: [], status, open: true } : found;
    if (total > 0n) ingest.status.total = total;
    ingest.open = true;
    this.#ingests.set(ref, ingest);
    return new MemoryWriter(ingest, (commit) => this.#commit(ingest, commit));
  }

  #commit(ingest: Ingest, options: CommitOptions): void {
    const { expected = "", size = 0n, labels = new Map() } = options;
    const { status } = ingest;
    if (this.#ingests.get(status.ref) !== ingest) throw notFound(`ingest "${status.ref}"`);
    if (expected !== "" && !expected.includes(":"))
      throw invalidArgument(`commit "${status.ref}": digest "${expected}"`);
    const data = Buffer.concat(ingest.parts);
    const digest = digestBy(isDigest(expected) ? parseDigest(expected).algorithm : "sha256", data);
    checkLabels(labels);
    if (size > 0n && size !== BigInt(data.length)) {
      throw failedPrecondition(`commit "${status.ref}": it has ${data.length} bytes, not ${size}`);
    }
    if (expected !== "" && expected !== digest) {
      throw failedPrecondition(`commit "${status.ref}": its digest is ${digest}, not ${expected}`);
    }
    this.#ingests.delete(status.ref);
    if (this.#blobs.has(digest)) throw alreadyExists(`content ${digest}`);
    const at = now();
    const info = {
      digest,
      size: BigInt(data.length),
      createdAt: at,
      updatedAt: at,
      labels: withoutEmptyLabels(labels),
    };
    this.#blobs.set(digest, { data, info });
  }

  #blob(digest: string): Blob {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) throw notFound(`content ${digest}`);
    return blob;
  }

  #ingest(ref: string): Ingest {
    const ingest = this.#ingests.get(ref);
    if (ingest === undefined) throw notFound(`ingest "${ref}"`);
    return ingest;
  }
}

class MemoryWriter implements ContentWriter {
  readonly #ingest: Ingest;
  readonly #commit: (options: CommitOptions) => void;
  #closed = false;

  constructor(ingest: Ingest, commit: (options: CommitOptions) => void) {
    this.#ingest = ingest;
    this.#commit = commit;
  }

  status(): IngestStatus {
    return { ...this.#ingest.status };
  }

  async write(data: Uint8Array): Promise<void> {
    this.#set([...this.#ingest.parts, Buffer.from(data)], this.#ingest.status.offset + BigInt(data.length));
  }

  async truncate(size: bigint): Promise<void> {
    const { parts, status } = this.#ingest;
    if (size < 0n || size > status.offset) {
      throw invalidArgument(`truncate "${status.ref}" to ${size} bytes: it has ${status.offset}`);
    }
    this.#set([Buffer.concat(parts).subarray(0, Number(size))], size);
  }

  async digest(): Promise<string> {
    return digestBy("sha256", Buffer.concat(this.#ingest.parts));
  }

  async commit(_ctx: CallContext, options: CommitOptions = {}): Promise<void> {
    this.#checkOpen();
    await this.close();
    this.#commit(options);
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#ingest.open = false;
    this.#closed = true;
  }

  #set(parts: Buffer[], offset: bigint): void {
    this.#checkOpen();
    this.#ingest.parts = parts;
    this.#ingest.status = { ...this.#ingest.status, offset, updatedAt: now() };
  }

  #checkOpen(): void {
    if (this.#closed) throw failedPrecondition(`writer "${this.#ingest.status.ref}" is closed`);
  }
}

function copyOf(info: ContentInfo): ContentInfo {
  return { ...info, labels: new Map(info.labels) };
}

function digestBy(algorithm: string, data: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}
