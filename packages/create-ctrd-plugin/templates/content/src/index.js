/**
 * The content store: a file for each blob, `blobs/<algorithm>/<hex>`, and a directory for each upload under way.
 *
 * This entry needs no daemon:
 *
 * ```js
 * import { createContext } from "@ctrd/core/context";
 * import { openStore } from "__name__";
 *
 * const [store, ctx] = [await openStore("/var/lib/x"), createContext()];
 * const writer = await store.writer(ctx, { ref: "upload" });
 * await writer.write(Buffer.from("hello"));
 * await writer.commit(ctx);
 * ```
 *
 * @module
 */
import { mkdir, open, readdir, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isDigest, parseDigest } from "@ctrd/core/digests";
import {
  alreadyExists,
  errnoOf,
  invalidArgument,
  isKind,
  notFound,
  notImplemented,
  outOfRange,
  unavailable,
} from "@ctrd/core/errors";
import { compileFilters, contentAdaptor, ingestAdaptor } from "@ctrd/core/filters";
import { timestampFromMillis } from "@ctrd/core/records";
import { ingestDirectory, openIngest, readStatus } from "./ingest.js";
import { IngestWriter } from "./writer.js";

/**
 * @import { ContentInfo, ContentReader, ContentStore, IngestStatus, WriterOptions } from "@ctrd/core/content"
 * @import { CallContext } from "@ctrd/core/context"
 */

/**
 * Opens the store in `root`, which is made when it is missing.
 *
 * @param {string} root
 * @returns {Promise<ContentStore>}
 */
export async function openStore(root) {
  for (const name of ["blobs", "ingest"]) await mkdir(join(root, name), { recursive: true, mode: 0o700 });
  return new DirectoryStore(root);
}

/** @implements {ContentStore} */
class DirectoryStore {
  #root;
  /** Refs whose writers are open. @type {Set<string>} */
  #locked = new Set();

  /** @param {string} root */
  constructor(root) {
    this.#root = root;
  }

  /**
   * @param {CallContext} _ctx
   * @param {string} digest
   * @returns {Promise<ContentInfo>}
   */
  async info(_ctx, digest) {
    const { size, mtimeMs } = await found(digest, stat(this.#blob(digest)));
    const time = timestampFromMillis(mtimeMs);
    return { digest, size: BigInt(size), createdAt: time, updatedAt: time, labels: new Map() };
  }

  /**
   * The daemon keeps labels in its metadata store, not here.
   *
   * @param {CallContext} _ctx
   * @param {ContentInfo} info
   * @returns {Promise<ContentInfo>}
   */
  async update(_ctx, info) {
    throw notImplemented(`update content ${info.digest}: this store keeps no labels`);
  }

  /**
   * @param {CallContext} ctx
   * @param {readonly string[]} filters
   */
  async *list(ctx, filters) {
    const matches = compileFilters(filters);
    for (const algorithm of await readdir(join(this.#root, "blobs"))) {
      for (const hex of await readdir(join(this.#root, "blobs", algorithm))) {
        ctx.signal.throwIfAborted();
        const info = await absentWhenGone(this.info(ctx, `${algorithm}:${hex}`));
        if (info !== undefined && matches(contentAdaptor(info))) yield info;
      }
    }
  }

  /**
   * @param {CallContext} _ctx
   * @param {string} digest
   */
  async delete(_ctx, digest) {
    await found(digest, unlink(this.#blob(digest)));
  }

  /**
   * @param {CallContext} _ctx
   * @param {string} digest
   * @returns {Promise<ContentReader>}
   */
  async reader(_ctx, digest) {
    const path = this.#blob(digest);
    const file = await found(digest, open(path));
    const { size } = await file.stat();
    return {
      size: BigInt(size),
      path,
      async read(offset, length) {
        if (offset < 0n) throw outOfRange(`read content ${digest} at ${offset}`);
        const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - Number(offset))));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, Number(offset));
        return buffer.subarray(0, bytesRead);
      },
      close: () => file.close(),
    };
  }

  /**
   * @param {CallContext} _ctx
   * @param {string} ref
   * @returns {Promise<IngestStatus>}
   */
  async status(_ctx, ref) {
    const status = await readStatus(ingestDirectory(this.#root, ref));
    if (status === undefined) throw notFound(`ingest "${ref}"`);
    return status;
  }

  /**
   * @param {CallContext} _ctx
   * @param {readonly string[]} filters
   * @returns {Promise<IngestStatus[]>}
   */
  async listStatuses(_ctx, filters) {
    const matches = compileFilters(filters);
    const directory = join(this.#root, "ingest");
    const all = await Promise.all((await readdir(directory)).map((name) => readStatus(join(directory, name))));
    return all.filter((status) => status !== undefined).filter((status) => matches(ingestAdaptor(status)));
  }

  /**
   * @param {CallContext} ctx
   * @param {string} ref
   */
  async abort(ctx, ref) {
    await this.status(ctx, ref);
    await rm(ingestDirectory(this.#root, ref), { recursive: true, force: true });
  }

  /**
   * @param {CallContext} ctx
   * @param {WriterOptions} options
   */
  async writer(ctx, { ref, total = 0n, expected = "" }) {
    if (ref === "") throw invalidArgument("open content writer: ref must not be empty");
    if (this.#locked.has(ref)) throw unavailable(`ingest "${ref}" is locked by another writer`);
    this.#locked.add(ref);
    const unlock = () => void this.#locked.delete(ref);
    try {
      // A malformed digest is no blob's; commit tells what is wrong with it.
      const present = isDigest(expected) && (await absentWhenGone(this.info(ctx, expected)));
      if (present) throw alreadyExists(`content ${expected}`);
      const ingest = await openIngest(this.#root, ref, total);
      return await IngestWriter.open(ingest, expected, (digest) => this.#blob(digest), unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** @param {string} digest */
  #blob(digest) {
    const { algorithm, hex } = parseDigest(digest);
    return join(this.#root, "blobs", algorithm, hex);
  }
}

/**
 * @template T
 * @param {string} digest
 * @param {Promise<T>} operation on its file
 */
async function found(digest, operation) {
  try {
    return await operation;
  } catch (error) {
    throw errnoOf(error) === "ENOENT" ? notFound(`content ${digest}`, { cause: error }) : error;
  }
}

/** @param {Promise<ContentInfo>} info */
async function absentWhenGone(info) {
  try {
    return await info;
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}
