import { lstatSync, opendirSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { errnoOf } from "@ctrd/core/errors";
import type { SnapshotUsage } from "@ctrd/core/snapshots";

interface Closeable {
  closeSync(): void;
}

/** A directory opened with `encoding: "buffer"`, for which Node has no type. */
interface BufferDir extends Closeable {
  readSync(): { name: Buffer } | null;
}

const slash = Buffer.from("/");

/** Allocated bytes and inodes, counted entry by entry. */
class UsageCount {
  size = 0n;
  inodes = 0;
  #entries = 0;
  readonly #limit: number;
  /** `device:inode` of files with several names. */
  readonly #linked = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns false once the limit is passed */
  addTree(path: Buffer): boolean {
    const stat = lstatSync(path, { bigint: true });
    if (!this.#add(stat)) return false;
    return !stat.isDirectory() || this.#addEntries(path);
  }

  #addEntry(path: Buffer): boolean {
    try {
      return this.addTree(path);
    } catch (error) {
      // Containers delete files while their snapshots are measured.
      if (errnoOf(error) === "ENOENT") return true;
      throw error;
    }
  }

  #addEntries(path: Buffer): boolean {
    // Opened, not listed: a huge directory must not be read whole when there is a limit.
    const directory: Closeable = opendirSync(path, { encoding: "buffer" as BufferEncoding, bufferSize: 128 });
    const entries = directory as BufferDir;
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
        if (!this.#addEntry(Buffer.concat([path, slash, entry.name]))) return false;
      }
      return true;
    } finally {
      directory.closeSync();
    }
  }

  #add(stat: BigIntStats): boolean {
    if (++this.#entries > this.#limit) return false;
    if (stat.nlink > 1n && !stat.isDirectory()) {
      const inode = `${stat.dev}:${stat.ino}`;
      if (this.#linked.has(inode)) return true;
      this.#linked.add(inode);
    }
    // Of 512 bytes, whatever the block size.
    this.size += stat.blocks * 512n;
    this.inodes += 1;
    return true;
  }
}

/**
 * What a directory tree takes on disk: allocated bytes and inodes, the directory itself included. A file with several
 * names in the tree counts once. Names need not be UTF-8.
 *
 * @returns `undefined` when there are more than `limit` entries
 */
export function diskUsage(directory: string, limit: number = Number.POSITIVE_INFINITY): SnapshotUsage | undefined {
  const count = new UsageCount(limit);
  if (!count.addTree(Buffer.from(directory))) return undefined;
  return { size: count.size, inodes: BigInt(count.inodes) };
}
