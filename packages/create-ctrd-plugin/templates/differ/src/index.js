/**
 * The differ: unpacks layers into mounts, and makes a layer of the difference between two sets of mounts. The walking
 * and hashing is done by @ctrd/archive, in a worker thread for each job: the daemon's event loop serves every other
 * call meanwhile.
 *
 * This entry needs no daemon: `openDiffer({ content, temporary })` works with any content store.
 *
 * @module
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { isKind, notImplemented } from "@ctrd/core/errors";
import { cleanUp, runJob } from "./job.js";

/**
 * @import { ContentReader, ContentStore, ContentWriter } from "@ctrd/core/content"
 * @import { CallContext } from "@ctrd/core/context"
 * @import { ApplyOptions, CompareOptions, Differ } from "@ctrd/core/diff"
 * @import { Descriptor, Mount } from "@ctrd/core/records"
 * @import { Compression } from "@ctrd/archive"
 *
 * @typedef {object} DifferOptions
 * @property {ContentStore} content where layers come from and go to
 * @property {string} temporary directory for mounts and files while a job runs
 * @property {number} [maxSize] most bytes of an unpacked layer
 */

const layerTar = "application/vnd.oci.image.layer.v1.tar";
const readable = [
  /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?$/,
  /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(?:gzip|zstd))?$/,
];
/** @type {ReadonlyMap<string, Compression>} */
const writable = new Map([
  [layerTar, "none"],
  [`${layerTar}+gzip`, "gzip"],
  [`${layerTar}+zstd`, "zstd"],
]);
const uncompressedLabel = "containerd.io/uncompressed";

/**
 * @param {DifferOptions} options
 * @returns {Promise<Differ>}
 */
export async function openDiffer(options) {
  await mkdir(options.temporary, { recursive: true, mode: 0o700 });
  // What a crash left.
  for (const name of await readdir(options.temporary)) cleanUp(join(options.temporary, name));
  return new LayerDiffer(options);
}

/** @implements {Differ} */
class LayerDiffer {
  #options;

  /** @param {DifferOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * @param {CallContext} ctx
   * @param {Descriptor} diff
   * @param {readonly Mount[]} mounts
   * @param {ApplyOptions} [options]
   * @returns {Promise<Descriptor>}
   */
  async apply(ctx, diff, mounts, { syncFs = false } = {}) {
    // "not implemented" makes the daemon ask the next differ.
    if (!readable.some((type) => type.test(diff.mediaType))) {
      throw notImplemented(`apply layer of media type "${diff.mediaType}"`);
    }
    const { content, maxSize = Infinity } = this.#options;
    const reader = await content.reader(ctx, diff.digest);
    try {
      return await this.#withDirectory(async (directory) => {
        const path = reader.path ?? (await copyTo(join(directory, "layer"), reader, ctx));
        const job = { kind: /** @type {const} */ ("apply"), path, mounts, directory, syncFs, maxSize };
        const { digest, size } = await runJob(job, ctx.signal);
        return { mediaType: layerTar, digest, size: BigInt(size), annotations: new Map() };
      });
    } finally {
      await reader.close();
    }
  }

  /**
   * @param {CallContext} ctx
   * @param {readonly Mount[]} lower
   * @param {readonly Mount[]} upper
   * @param {CompareOptions} [options]
   * @returns {Promise<Descriptor>}
   */
  async compare(ctx, lower, upper, options = {}) {
    const mediaType = options.mediaType || `${layerTar}+gzip`;
    const compression = writable.get(mediaType);
    if (compression === undefined) throw notImplemented(`write layer of media type "${mediaType}"`);
    return this.#withDirectory(async (directory) => {
      const latestTime = options.sourceDateEpoch === undefined ? Infinity : Number(options.sourceDateEpoch.seconds);
      const job = { kind: /** @type {const} */ ("compare"), lower, upper, directory, compression, latestTime };
      const { path, digest } = await runJob(job, ctx.signal);
      const labels = new Map(options.labels);
      if (compression !== "none") labels.set(uncompressedLabel, digest);
      return { ...(await this.#store(ctx, path, labels, options.reference)), mediaType };
    });
  }

  /**
   * Makes the file at `path` a blob.
   *
   * @param {CallContext} ctx
   * @param {string} path
   * @param {Map<string, string>} labels
   * @param {string} [reference]
   */
  async #store(ctx, path, labels, reference) {
    const { content } = this.#options;
    const ref = reference || `diff-${randomUUID()}`;
    const writer = await content.writer(ctx, { ref });
    try {
      // What an earlier attempt under the same ref left is another layer.
      await writer.truncate(0n);
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) await writer.write(chunk);
      const digest = await writer.digest();
      await this.#commit(ctx, writer, digest, labels);
      const { size } = await content.info(ctx, digest);
      return { digest, size, annotations: new Map() };
    } catch (error) {
      await writer.close();
      if (!reference) await content.abort(ctx, ref);
      throw error;
    }
  }

  /**
   * @param {CallContext} ctx
   * @param {ContentWriter} writer
   * @param {string} digest
   * @param {Map<string, string>} labels
   */
  async #commit(ctx, writer, digest, labels) {
    const { content } = this.#options;
    try {
      await writer.commit(ctx, { labels });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
      // The same blob was there before, perhaps without knowing what it is uncompressed.
      const info = await content.info(ctx, digest);
      const value = labels.get(uncompressedLabel);
      if (value === undefined || info.labels.has(uncompressedLabel)) return;
      info.labels.set(uncompressedLabel, value);
      await content.update(ctx, info, [`labels.${uncompressedLabel}`]);
    }
  }

  /**
   * @template T
   * @param {(directory: string) => Promise<T>} use
   */
  async #withDirectory(use) {
    const directory = await mkdtemp(join(this.#options.temporary, "job-"));
    try {
      return await use(directory);
    } finally {
      cleanUp(directory);
    }
  }
}

/**
 * @param {string} path
 * @param {ContentReader} reader
 * @param {CallContext} ctx
 */
async function copyTo(path, reader, ctx) {
  async function* chunks() {
    for (let offset = 0n; offset < reader.size;) {
      const chunk = await reader.read(offset, 1 << 20);
      if (chunk.length === 0) return;
      yield chunk;
      offset += BigInt(chunk.length);
    }
  }
  await pipeline(chunks(), createWriteStream(path, { mode: 0o600 }), { signal: ctx.signal });
  return path;
}
