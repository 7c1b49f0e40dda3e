/**
 * The content store on a local directory.
 *
 * @module
 */
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type {
  ContentInfo,
  ContentReader,
  ContentStore,
  ContentWriter,
  IngestStatus,
  WriterOptions,
} from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { isDigest } from "@ctrd/core/digests";
import { alreadyExists, diskError, invalidArgument, notFound, notImplemented } from "@ctrd/core/errors";
import { compileFilters, contentAdaptor, ingestAdaptor } from "@ctrd/core/filters";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { Blobs } from "./blobs.ts";
import { HashThread } from "./hash-thread.ts";
import { listIngests, openIngest, readIngest, removeBrokenIngests } from "./ingests.ts";
import type { Layout } from "./layout.ts";
import { createLayout } from "./layout.ts";
import { RefLocks } from "./locks.ts";
import { openReader } from "./reader.ts";
import { LocalWriter } from "./writer.ts";

/** Options of {@link openContentStore}. */
export interface ContentStoreOptions {
  log?: Logger;
}

/** A content store that must be closed. */
export interface LocalContentStore extends ContentStore {
  /** Ends the hashing thread. Writers must be closed before. */
  close(): Promise<void>;
}

/**
 * Opens the store in `root`, which is made when it is not there. Modes that are looser than 0700 are tightened, and
 * ingests that a crash left half made are removed.
 */
export async function openContentStore(root: string, options: ContentStoreOptions = {}): Promise<LocalContentStore> {
  const layout = createLayout(root);
  await prepareDirectories(layout);
  const removed = await removeBrokenIngests(layout);
  if (removed.length > 0) (options.log ?? silentLogger).warn({ removed }, "removed broken ingests");
  return new LocalStore(layout);
}

async function prepareDirectories(layout: Layout): Promise<void> {
  for (const directory of [layout.root, layout.blobs, layout.ingests]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  }
  for (const entry of await readdir(layout.blobs, { withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(join(layout.blobs, entry.name), 0o700);
  }
}

class LocalStore implements LocalContentStore {
  readonly #layout: Layout;
  readonly #blobs: Blobs;
  readonly #locks = new RefLocks();
  readonly #thread = new HashThread();
  readonly #writers = new Map<string, LocalWriter>();

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#blobs = new Blobs(layout);
  }

  info(_ctx: CallContext, digest: string): Promise<ContentInfo> {
    return this.#blobs.info(digest);
  }

  async update(_ctx: CallContext, info: ContentInfo): Promise<ContentInfo> {
    throw notImplemented(`update content ${info.digest}: the local store keeps no labels, the metadata store does`);
  }

  async *list(ctx: CallContext, filters: readonly string[]): AsyncIterable<ContentInfo> {
    const matches = compileFilters(filters);
    for await (const info of this.#blobs.list()) {
      ctx.signal.throwIfAborted();
      if (matches(contentAdaptor(info))) yield info;
    }
  }

  delete(_ctx: CallContext, digest: string): Promise<void> {
    return this.#blobs.delete(digest);
  }

  async reader(_ctx: CallContext, digest: string): Promise<ContentReader> {
    return openReader(this.#layout.blob(digest), digest);
  }

  async status(_ctx: CallContext, ref: string): Promise<IngestStatus> {
    const status = this.#writers.get(ref)?.status() ?? (await readIngest(this.#layout.ingest(ref)));
    if (status === undefined) throw notFound(`ingest "${ref}"`);
    return status;
  }

  async listStatuses(ctx: CallContext, filters: readonly string[]): Promise<IngestStatus[]> {
    const matches = compileFilters(filters);
    const found: IngestStatus[] = [];
    for await (const onDisk of listIngests(this.#layout)) {
      ctx.signal.throwIfAborted();
      const status = this.#writers.get(onDisk.ref)?.status() ?? onDisk;
      if (matches(ingestAdaptor(status))) found.push(status);
    }
    return found;
  }

  async abort(_ctx: CallContext, ref: string): Promise<void> {
    const directory = this.#layout.ingest(ref);
    if ((await readIngest(directory)) === undefined) throw notFound(`ingest "${ref}"`);
    this.#writers.delete(ref);
    await rm(directory, { recursive: true, force: true });
  }

  async writer(ctx: CallContext, options: WriterOptions): Promise<ContentWriter> {
    const { ref, total = 0n, expected = "" } = options;
    if (ref === "") throw invalidArgument("open content writer: ref must not be empty");
    if (total < 0n) throw invalidArgument(`open content writer "${ref}": total ${total} is negative`);
    const unlock = await this.#locks.acquire(ref, ctx.signal);
    try {
      // A malformed digest is no blob's; commit tells what is wrong with it.
      if (isDigest(expected) && (await this.#blobs.has(expected))) throw alreadyExists(`content ${expected}`);
      const ingest = await openIngest(this.#layout, ref, total);
      const onClose = (): void => {
        if (this.#writers.get(ref) === writer) this.#writers.delete(ref);
        unlock();
      };
      const writer = new LocalWriter({ ingest, expected, blobs: this.#blobs, thread: this.#thread, onClose });
      this.#writers.set(ref, writer);
      return writer;
    } catch (error) {
      unlock();
      throw diskError(`open ingest "${ref}"`, error);
    }
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}
