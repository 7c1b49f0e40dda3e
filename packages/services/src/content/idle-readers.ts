import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { BufferedReader } from "./buffered-reader.ts";

/** How long a reader waits for another use, in milliseconds. The blob may not be collected meanwhile. */
const idleMillis = 100;

/** Most readers that wait. */
const maxIdle = 16;

interface IdleReader {
  readonly reader: BufferedReader;
  readonly timer: NodeJS.Timeout;
}

/**
 * Readers of local blobs, kept open for a moment after use. containerd's Go client reads a blob in pieces of 32 KiB,
 * each a call of its own; opening the file anew for each costs more than the piece.
 */
export class IdleReaders {
  readonly #store: ContentStore;
  readonly #idle = new Map<string, IdleReader>();

  constructor(store: ContentStore) {
    this.#store = store;
  }

  /** A reader for the caller alone. Give it back with {@link release}. @throws ContainerdError `not-found` */
  async acquire(ctx: CallContext, digest: string): Promise<BufferedReader> {
    const key = keyOf(ctx, digest);
    const idle = this.#idle.get(key);
    if (idle === undefined) return new BufferedReader(await this.#store.reader(ctx, digest));
    this.#take(key, idle);
    try {
      // The blob may have been deleted while the reader waited.
      await this.#store.info(ctx, digest);
    } catch (error) {
      await idle.reader.close();
      throw error;
    }
    return idle.reader;
  }

  /** Closes a reader at once, or keeps it for a next call that `expectMore` says is likely. */
  async release(ctx: CallContext, digest: string, reader: BufferedReader, expectMore: boolean): Promise<void> {
    const key = keyOf(ctx, digest);
    if (!expectMore || !reader.local || this.#idle.has(key) || this.#idle.size >= maxIdle) return reader.close();
    const timer = setTimeout(() => {
      this.#idle.delete(key);
      reader.close().catch((error: unknown) => ctx.log.warn({ err: error, digest }, "cannot close a content reader"));
    }, idleMillis);
    this.#idle.set(key, { reader, timer });
    return undefined;
  }

  #take(key: string, idle: IdleReader): void {
    this.#idle.delete(key);
    clearTimeout(idle.timer);
  }
}

function keyOf(ctx: CallContext, digest: string): string {
  return `${ctx.namespace}/${digest}`;
}
