import { resourceExhausted } from "@ctrd/core/errors";
import type { Envelope } from "@ctrd/core/events";

/** How far a subscriber may fall behind. */
export interface SubscriptionLimits {
  /** Most envelopes that wait. */
  readonly maxEvents: number;
  /** Most bytes of event values that wait. */
  readonly maxBytes: number;
}

/** A subscriber's queue: envelopes in order, bounded. A subscriber that falls too far behind gets an error. */
export class Subscription implements AsyncIterableIterator<Envelope> {
  readonly #limits: SubscriptionLimits;
  readonly #onEnd: (subscription: Subscription) => void;
  #queue: Envelope[] = [];
  /** Index of the next envelope: shifting a long array for every event would be quadratic. */
  #head = 0;
  #bytes = 0;
  #lastRead: Envelope | undefined;
  #ended = false;
  #failure: Error | undefined;
  #waiters: { resolve: (result: IteratorResult<Envelope>) => void; reject: (error: Error) => void }[] = [];

  constructor(limits: SubscriptionLimits, onEnd: (subscription: Subscription) => void) {
    this.#limits = limits;
    this.#onEnd = onEnd;
  }

  /** Queues an envelope, or ends the subscription when its reader is too far behind. */
  push(envelope: Envelope): void {
    if (this.#ended) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      this.#lastRead = envelope;
      waiter.resolve({ done: false, value: envelope });
      return;
    }
    this.#queue.push(envelope);
    this.#bytes += envelope.event?.value.length ?? 0;
    const waiting = this.#queue.length - this.#head;
    if (waiting <= this.#limits.maxEvents && this.#bytes <= this.#limits.maxBytes) return;
    const after = this.#lastRead?.sequence;
    const again = after === undefined ? "" : ` (where a history is kept: after ${after})`;
    this.#failure = resourceExhausted(
      `event subscription ended: its reader is ${waiting} events (${this.#bytes} bytes) behind, and they were dropped; ` +
        `read faster or narrow the filters, then subscribe again${again}`,
    );
    this.end();
  }

  /** Ends it; what waits is dropped. */
  end(): void {
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
    this.finish();
  }

  /** Ends it; what waits can still be read. */
  finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
    this.#onEnd(this);
  }

  next(): Promise<IteratorResult<Envelope>> {
    const envelope = this.#queue[this.#head];
    if (envelope !== undefined) {
      this.#advance(envelope);
      return Promise.resolve({ done: false, value: envelope });
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Envelope>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #advance(envelope: Envelope): void {
    this.#head++;
    this.#lastRead = envelope;
    this.#bytes -= envelope.event?.value.length ?? 0;
    if (this.#head * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }
}
