/**
 * The receive queue of a stream.
 *
 * @module
 */

/** Messages that a stream holds for a slow reader. */
export const receiveQueueLength = 64;
/** How long a full queue may stay without the reader taking one message, in milliseconds. */
export const fullQueueTimeoutMs = 1000;

/** What a full queue does to its connection. */
export interface QueueFlow {
  /** Stop reading from the connection. */
  pause(): void;
  resume(): void;
  /** The reader took nothing for the whole time-out. */
  overflow(): void;
}

type Waiter<T> = { resolve(result: IteratorResult<T>): void; reject(error: unknown): void };

/**
 * Messages received on a stream, in order. While it is full the connection is not read; frames that had arrived in
 * the same chunk are still kept, so it holds at most 64 messages plus one chunk. Full for a second: the stream fails.
 */
export class ReceiveQueue<T> implements AsyncIterableIterator<T> {
  readonly #flow: QueueFlow;
  #items: T[] = [];
  #waiters: Waiter<T>[] = [];
  #ended = false;
  #error: unknown;
  #failed = false;
  #timer: NodeJS.Timeout | undefined;
  #onReturn: (() => void) | undefined;

  constructor(flow: QueueFlow) {
    this.#flow = flow;
  }

  /** Called when the reader stops early. */
  set onReturn(callback: () => void) {
    this.#onReturn = callback;
  }

  /** Adds a message; dropped after the end. */
  push(item: T): void {
    if (this.#ended) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: item });
      return;
    }
    this.#items.push(item);
    if (this.#items.length > receiveQueueLength && this.#timer === undefined) {
      this.#flow.pause();
      this.#timer = setTimeout(() => this.#flow.overflow(), fullQueueTimeoutMs);
    }
  }

  /** No more messages; the reader gets what is queued, then the end. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
  }

  /** Ends with an error, which the reader gets after what is queued. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    const waiters = this.#waiters.splice(0);
    if (waiters.length === 0) {
      this.#failed = true;
      this.#error = error;
    }
    for (const waiter of waiters) waiter.reject(error);
  }

  /** Ends with an error and drops what is queued. */
  abort(error: unknown): void {
    this.#items = [];
    this.#release();
    if (this.#ended) {
      this.#failed = true;
      this.#error = error;
    }
    this.fail(error);
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      if (this.#timer !== undefined) {
        if (this.#items.length <= receiveQueueLength) this.#release();
        else this.#timer.refresh();
      }
      return Promise.resolve({ done: false, value });
    }
    if (this.#failed) {
      this.#failed = false;
      return Promise.reject(this.#error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T>>();
    this.#waiters.push({ resolve, reject });
    return promise;
  }

  return(): Promise<IteratorResult<T>> {
    this.#items = [];
    this.#release();
    this.end();
    this.#onReturn?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #release(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flow.resume();
  }
}
