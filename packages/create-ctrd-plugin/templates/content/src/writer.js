import { createHash } from "node:crypto";
import { link, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDigest } from "@ctrd/core/digests";
import { alreadyExists, errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import { timestampFromMillis } from "@ctrd/core/records";

/**
 * @import { CommitOptions, ContentWriter, IngestStatus } from "@ctrd/core/content"
 * @import { CallContext } from "@ctrd/core/context"
 * @import { Ingest } from "./ingest.js"
 */

/** @implements {ContentWriter} */
export class IngestWriter {
  #ingest;
  #expected;
  #blob;
  #unlock;
  #hash = createHash("sha256");
  #offset = 0;
  #updatedMs = Date.now();
  #open = true;

  /**
   * @param {Ingest} ingest
   * @param {string} expected digest, empty when not known
   * @param {(digest: string) => string} blob path of a blob
   * @param {() => void} unlock
   */
  constructor(ingest, expected, blob, unlock) {
    this.#ingest = ingest;
    this.#expected = expected;
    this.#blob = blob;
    this.#unlock = unlock;
  }

  /**
   * Opens a writer behind what the ingest has already.
   *
   * @param {Ingest} ingest
   * @param {string} expected
   * @param {(digest: string) => string} blob
   * @param {() => void} unlock
   */
  static async open(ingest, expected, blob, unlock) {
    const writer = new IngestWriter(ingest, expected, blob, unlock);
    await writer.#readAgain();
    return writer;
  }

  /** @returns {IngestStatus} */
  status() {
    const { ref, total, startedMs } = this.#ingest;
    return {
      ref,
      offset: BigInt(this.#offset),
      total,
      expected: this.#expected,
      startedAt: timestampFromMillis(startedMs),
      updatedAt: timestampFromMillis(this.#updatedMs),
    };
  }

  /** @param {Uint8Array} data */
  async write(data) {
    this.#checkOpen();
    for (let written = 0; written < data.length;) {
      written += (await this.#ingest.data.write(data, written)).bytesWritten;
    }
    this.#hash.update(data);
    this.#offset += data.length;
    this.#updatedMs = Date.now();
  }

  /** @param {bigint} size */
  async truncate(size) {
    this.#checkOpen();
    if (size < 0n || size > BigInt(this.#offset)) {
      throw invalidArgument(`truncate ingest "${this.#ingest.ref}" to ${size}: it has ${this.#offset} bytes`);
    }
    await this.#ingest.data.truncate(Number(size));
    await this.#readAgain();
  }

  async digest() {
    return `sha256:${this.#hash.copy().digest("hex")}`;
  }

  /**
   * @param {CallContext} _ctx
   * @param {CommitOptions} [options]
   */
  async commit(_ctx, { size = 0n, expected = this.#expected } = {}) {
    this.#checkOpen();
    try {
      const digest = await this.#check(size, expected);
      await this.#ingest.data.sync();
      await this.#publish(digest);
    } finally {
      await this.close();
    }
  }

  async close() {
    if (!this.#open) return;
    this.#open = false;
    await this.#ingest.data.close();
    this.#unlock();
  }

  /**
   * @param {bigint} size
   * @param {string} expected
   * @returns {Promise<string>} the digest to commit as
   */
  async #check(size, expected) {
    const what = `commit ingest "${this.#ingest.ref}"`;
    if (size > 0n && size !== BigInt(this.#offset)) {
      throw failedPrecondition(`${what}: it has ${this.#offset} bytes, not ${size}`);
    }
    const own = await this.digest();
    if (expected === "" || expected === own) return own;
    if (!expected.includes(":")) throw invalidArgument(`${what}: "${expected}" is no digest`);
    const [algorithm = ""] = expected.split(":");
    if (!isDigest(expected) || algorithm === "sha256") {
      throw failedPrecondition(`${what}: its digest is ${own}, not ${expected}`);
    }
    const other = createHash(algorithm);
    for await (const chunk of this.#content()) other.update(chunk);
    const digest = `${algorithm}:${other.digest("hex")}`;
    if (digest !== expected) throw failedPrecondition(`${what}: its digest is ${digest}, not ${expected}`);
    return digest;
  }

  /**
   * Gives the data its place among the blobs: a link, which fails when the blob is there.
   *
   * @param {string} digest
   */
  async #publish(digest) {
    const { directory } = this.#ingest;
    const path = this.#blob(digest);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await link(join(directory, "data"), path);
      await syncDirectory(dirname(path));
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw alreadyExists(`content ${digest}`, { cause: error });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Hash and offset of what is in the file. */
  async #readAgain() {
    this.#hash = createHash("sha256");
    this.#offset = 0;
    for await (const chunk of this.#content()) {
      this.#hash.update(chunk);
      this.#offset += chunk.length;
    }
  }

  /** @returns {AsyncGenerator<Buffer>} */
  async *#content() {
    const buffer = Buffer.alloc(1 << 20);
    for (let offset = 0; ;) {
      const { bytesRead } = await this.#ingest.data.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      offset += bytesRead;
    }
  }

  #checkOpen() {
    if (!this.#open) throw failedPrecondition(`ingest "${this.#ingest.ref}": its writer is closed`);
  }
}

/** @param {string} path */
async function syncDirectory(path) {
  const directory = await open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
