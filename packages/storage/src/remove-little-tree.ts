/**
 * Removing a small tree with calls of Node's thread pool: a new thread takes longer to start than they take, and on the
 * event loop a single one of them may wait for the journal of the file system.
 */
import { constants, unlink } from "node:fs";
import { open, readdir, rmdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { errnoOf } from "@ctrd/core/errors";

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Directories open at once. */
const deepest = 32;
/** Files at once: enough that the pool's threads do not wait for the event loop between two of them. */
const atOnce = 16;

/**
 * Removes a tree if it is small: symbolic links are removed and not followed, also when one takes the place of a
 * directory meanwhile; what is not there is fine. Nothing may be mounted inside.
 *
 * @param limit most entries to remove
 * @returns whether all is gone; when not, some of it may be
 */
export async function removeLittleTree(path: string, limit: number): Promise<boolean> {
  return new LittleTree(limit).removeAll([Buffer.from(path)], 0);
}

class LittleTree {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  async removeAll(paths: readonly Buffer[], depth: number): Promise<boolean> {
    this.#left -= paths.length;
    if (this.#left < 0 || depth > deepest) return false;
    const directories = await unlinkAll(paths);
    if (directories === undefined) return false;
    for (const path of directories) if (!(await this.#removeDirectory(path, depth))) return false;
    return true;
  }

  async #removeDirectory(path: Buffer, depth: number): Promise<boolean> {
    let directory: FileHandle;
    try {
      directory = await open(path, directoryFlags);
    } catch (error) {
      return errnoOf(error) === "ENOENT";
    }
    try {
      // Whatever the path names meanwhile, this is the directory that was opened.
      const base = Buffer.from(`/proc/self/fd/${directory.fd}/`);
      const names = await readdir(base, { encoding: "buffer" });
      const paths = names.map((name) => Buffer.concat([base, name]));
      if (!(await this.removeAll(paths, depth + 1))) return false;
    } finally {
      await directory.close();
    }
    try {
      await rmdir(path);
      return true;
    } catch (error) {
      return errnoOf(error) === "ENOENT";
    }
  }
}

/** Returns those that are directories; undefined when something cannot be removed. */
function unlinkAll(paths: readonly Buffer[]): Promise<Buffer[] | undefined> {
  const directories: Buffer[] = [];
  const queue = paths.values();
  let hasFailed = false;
  let running = Math.min(atOnce, paths.length);
  // With callbacks: promises take longer than the calls that they are of.
  return new Promise((resolve) => {
    const next = (): void => {
      const { value: path } = queue.next();
      if (path === undefined || hasFailed) {
        if (--running === 0) resolve(hasFailed ? undefined : directories);
        return;
      }
      unlink(path, (error) => {
        if (error?.code === "EISDIR" || error?.code === "EPERM") directories.push(path);
        else if (error !== null && error.code !== "ENOENT") hasFailed = true;
        next();
      });
    };
    if (running === 0) resolve(directories);
    for (let worker = running; worker > 0; worker--) next();
  });
}
