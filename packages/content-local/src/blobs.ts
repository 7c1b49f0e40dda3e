/**
 * The blobs: looking at them, and putting one in place durably.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { mkdir, readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { ContentInfo } from "@ctrd/core/content";
import { parseDigest } from "@ctrd/core/digests";
import { alreadyExists, errnoOf, notFound } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { SharedFlush } from "@ctrd/core/shared-flush";
import { syncDirectory } from "./directory-sync.ts";
import type { Layout } from "./layout.ts";
import { digestOfFile } from "./layout.ts";

/** Blobs looked at together while listing. */
const batchSize = 64;

/** Blob files below a layout. */
export class Blobs {
  readonly #layout: Layout;
  readonly #directories = new Map<string, Promise<SharedFlush>>();
  /** Publications by digest, so that of two writers of one blob the second learns that it is there. */
  readonly #publishing = new Map<string, Promise<void>>();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** @throws ContainerdError `not-found`, `invalid-argument` for a malformed digest */
  async info(digest: string): Promise<ContentInfo> {
    const info = await this.#infoOf(digest, this.#layout.blob(digest));
    if (info === undefined) throw notFound(`content ${digest}`);
    return info;
  }

  /** Whether the blob is there; a malformed digest is not. */
  async has(digest: string): Promise<boolean> {
    return (await this.#infoOf(digest, this.#layout.blob(digest))) !== undefined;
  }

  /** @throws ContainerdError `not-found`, `invalid-argument` for a malformed digest */
  async delete(digest: string): Promise<void> {
    try {
      FAILPOINT: if (failpoints.on) await failpoints.at("content.delete");
      await unlink(this.#layout.blob(digest));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") throw notFound(`content ${digest}`, { cause: error });
      throw error;
    }
  }

  /** Every blob. Files that are no blobs are left out. */
  async *list(): AsyncGenerator<ContentInfo, void, undefined> {
    for (const algorithm of await readdir(this.#layout.blobs)) {
      const directory = join(this.#layout.blobs, algorithm);
      const names = await namesIn(directory);
      for (let at = 0; at < names.length; at += batchSize) {
        const batch = names.slice(at, at + batchSize).map(async (name) => {
          const digest = digestOfFile(algorithm, name);
          return digest === undefined ? undefined : this.#infoOf(digest, join(directory, name));
        });
        for (const info of await Promise.all(batch)) {
          if (info !== undefined) yield info;
        }
      }
    }
  }

  /**
   * Makes the open file `source` the blob `digest`, durably.
   *
   * @throws ContainerdError `already-exists` when the blob is there; `source` stays where it is then
   */
  async publish(file: FileHandle, source: string, digest: string): Promise<void> {
    for (let other = this.#publishing.get(digest); other !== undefined; other = this.#publishing.get(digest)) {
      // Its own caller gets its error; here it only matters that it has ended.
      await other.catch(() => {});
    }
    const publication = this.#publish(file, source, digest);
    this.#publishing.set(digest, publication);
    try {
      await publication;
    } finally {
      this.#publishing.delete(digest);
    }
  }

  async #publish(file: FileHandle, source: string, digest: string): Promise<void> {
    if (await this.has(digest)) throw alreadyExists(`content ${digest}`);
    const directory = await this.#directory(parseDigest(digest).algorithm);
    const now = new Date();
    // Mode and time come before the sync, which then covers them too.
    await Promise.all([file.chmod(0o444), file.utimes(now, now)]);
    FAILPOINT: if (failpoints.on) await failpoints.at("content.sync");
    await file.sync();
    FAILPOINT: if (failpoints.on) await failpoints.at("content.rename");
    await rename(source, this.#layout.blob(digest));
    FAILPOINT: if (failpoints.on) await failpoints.at("content.sync-directory");
    await directory.run();
  }

  #directory(algorithm: ReturnType<typeof parseDigest>["algorithm"]): Promise<SharedFlush> {
    let directory = this.#directories.get(algorithm);
    if (directory === undefined) {
      directory = this.#makeDirectory(this.#layout.algorithm(algorithm));
      this.#directories.set(algorithm, directory);
      directory.catch(() => this.#directories.delete(algorithm));
    }
    return directory;
  }

  async #makeDirectory(path: string): Promise<SharedFlush> {
    if ((await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined) await syncDirectory(this.#layout.blobs);
    return new SharedFlush(() => syncDirectory(path));
  }

  async #infoOf(digest: string, path: string): Promise<ContentInfo | undefined> {
    try {
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const time = { seconds: mtimeNs / 1_000_000_000n, nanos: Number(mtimeNs % 1_000_000_000n) };
      return { digest, size, createdAt: time, updatedAt: time, labels: new Map() };
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    // A stray file among the algorithms' directories holds no blobs.
    if (errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
