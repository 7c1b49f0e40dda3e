/**
 * Removing a small tree with calls of Node's thread pool: a new thread takes longer to start than they take, and on the
 * event loop a single one of them may wait for the journal of the file system.
 */
import { constants } from "node:fs";
import { open, readdir, rmdir, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { errnoOf } from "@ctrd/core/errors";

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Directories open at once. */
const deepest = 32;
/** Calls at once; the pool has four threads, which others need too. */
const atOnce = 3;

/**
 * Removes a tree if it is small: symbolic links are removed and not followed, also when one takes the place of a
 * directory meanwhile; what is not there is fine. Nothing may be mounted inside.
 *
 * @param limit most entries to remove
 * @returns whether all is gone; when not, some of it may be
 */
export async function removeLittleTree(path: string, limit: number): Promise<boolean> {
  return new LittleTree(limit).remove(Buffer.from(path), 0);
}

class LittleTree {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  async remove(path: Buffer, depth: number): Promise<boolean> {
    if (this.#left-- <= 0 || depth > deepest) return false;
    const failure = await errnoOfCall(unlink(path));
    if (failure === undefined || failure === "ENOENT") return true;
    if (failure !== "EISDIR" && failure !== "EPERM") return false;
    let directory: FileHandle;
    try {
      directory = await open(path, directoryFlags);
    } catch (error) {
      return errnoOf(error) === "ENOENT";
    }
    try {
      if (!(await this.#empty(directory, depth))) return false;
    } finally {
      await directory.close();
    }
    const left = await errnoOfCall(rmdir(path));
    return left === undefined || left === "ENOENT";
  }

  /** Removes the entries of an open directory, whatever its path names meanwhile. */
  async #empty(directory: FileHandle, depth: number): Promise<boolean> {
    const base = Buffer.from(`/proc/self/fd/${directory.fd}/`);
    const names = await readdir(base, { encoding: "buffer" });
    if (names.length > this.#left) return false;
    const queue = names.values();
    let all = true;
    const work = async (): Promise<void> => {
      for (const name of queue) {
        if (!(await this.remove(Buffer.concat([base, name]), depth + 1))) all = false;
        if (!all) return;
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, names.length) }, work));
    return all;
  }
}

/** The errno name of a call that failed. @throws what has none */
async function errnoOfCall(call: Promise<void>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return errno;
  }
}
