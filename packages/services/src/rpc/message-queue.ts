/** What a queue asks of its source: to pause while the reader is behind, to stop when the reader leaves. */
export interface QueueSource {
  pause(): void;
  resume(): void;
  cancel(): void;
}

/** Messages that wait before the source is paused. */
const highWater = 2;

/**
 * Messages between a push source (a grpc-js call) and one reader. The source is paused while messages wait. Messages
 * that came before an end or a failure are read before it is seen; {@link abort} drops them.
 */
export class MessageQueue<T> implements AsyncIterableIterator<T> {
  readonly #source: QueueSource;
  readonly #messages: T[] = [];
  readonly #waiters: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #end: { readonly error?: unknown } | undefined;
  #paused = false;

  constructor(source: QueueSource) {
    this.#source = source;
  }

  push(message: T): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: message });
      return;
    }
    this.#messages.push(message);
    if (this.#messages.length >= highWater && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** No more messages will come. */
  finish(): void {
    this.#settle({});
  }

  /** No more messages will come, because of `error`. */
  fail(error: unknown): void {
    this.#settle({ error });
  }

  /** Like fail, and drops what waits. */
  abort(error: unknown): void {
    this.#messages.length = 0;
    this.#settle({ error });
  }

  #settle(end: { readonly error?: unknown }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const waiter of this.#waiters.splice(0)) {
      if ("error" in end) waiter.reject(end.error);
      else waiter.resolve({ done: true, value: undefined });
    }
  }

  next(): Promise<IteratorResult<T>> {
    const message = this.#messages.shift();
    if (this.#paused && this.#messages.length < highWater) {
      this.#paused = false;
      this.#source.resume();
    }
    if (message !== undefined) return Promise.resolve({ done: false, value: message });
    if (this.#end !== undefined) {
      const end = this.#end;
      // A failure is told once; a reader that asks again finds the end.
      this.#end = {};
      return "error" in end ? Promise.reject(end.error) : Promise.resolve({ done: true, value: undefined });
    }
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<T>> {
    this.#messages.length = 0;
    if (this.#end === undefined) {
      this.#settle({});
      this.#source.cancel();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
