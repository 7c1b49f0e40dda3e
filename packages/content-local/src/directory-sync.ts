/**
 * Makes renames durable, many at once.
 *
 * @module
 */
import { open } from "node:fs/promises";

/** Syncs a directory. Callers that come while a sync runs share the next one. */
export class DirectorySync {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when everything done in the directory before this call is on disk. */
  sync(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      const running = syncDirectory(this.#path);
      // Those who share this sync get its error; the one after it must run all the same.
      this.#last = running.catch(() => {});
      return running;
    });
    return this.#next;
  }
}

/** Syncs the directory `path` once. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
