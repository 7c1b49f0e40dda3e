/**
 * Makes files durable, many at once.
 */
import { diskError } from "@ctrd/core/errors";
import { syncFileSystem } from "@ctrd/sys";

/** Flushes a file system. Callers that come while a flush runs share the next one. */
export class FileSystemSync {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param path a directory on it */
  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when everything written before this call is on disk. */
  sync(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      const running = syncFileSystem(this.#path).catch((error: unknown) => {
        throw diskError(`write the files below ${this.#path} to the disk`, error);
      });
      // Those who share this flush get its error; the one after it must run all the same.
      this.#last = running.catch(() => {});
      return running;
    });
    return this.#next;
  }
}
