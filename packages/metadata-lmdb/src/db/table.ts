/**
 * A named database of typed records whose keys are arrays of strings.
 */
import { createYield } from "@ctrd/storage";
import type { DurableEnv, DurableKey } from "@ctrd/storage";
import { hasPrefix } from "./keys.ts";

type Db = ReturnType<DurableEnv["openDb"]>;

/** How a record becomes bytes. The message types of `@ctrd/api` are codecs. */
export interface Codec<T> {
  encode(record: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** One record with its key. */
export interface Row<T> {
  readonly key: string[];
  readonly record: T;
}

/** One record as it is stored, with its key. */
export interface StoredRow {
  readonly key: string[];
  readonly bytes: Uint8Array;
}

/** Records read between two looks at the clock. */
const pageSize = 128;

/** Told of every record that is written, within the write transaction. */
export type PutListener = (key: readonly string[]) => void;

/** Reads outside `write` see the last committed state, inside they see the writes so far. Write only inside. */
export class Table<T> {
  readonly #db: Db;
  readonly #codec: Codec<T>;
  readonly #onPut: PutListener | undefined;

  constructor(db: Db, codec: Codec<T>, onPut?: PutListener) {
    this.#db = db;
    this.#codec = codec;
    this.#onPut = onPut;
  }

  get(...key: string[]): T | undefined {
    const bytes = this.#db.get(key);
    return bytes === undefined ? undefined : this.#codec.decode(bytes);
  }

  /** The record as it is stored. */
  bytes(...key: string[]): Uint8Array | undefined {
    return this.#db.get(key);
  }

  /** Reads what `bytes` or `storedPage` gave. */
  decode(bytes: Uint8Array): T {
    return this.#codec.decode(bytes);
  }

  has(...key: string[]): boolean {
    return this.#db.doesExist(key);
  }

  put(record: T, ...key: string[]): void {
    // Inside a write transaction the put has happened on return; its promise is the transaction's own.
    void this.#db.put(key, this.#codec.encode(record).finish());
    this.#onPut?.(key);
  }

  remove(...key: string[]): void {
    void this.#db.remove(key);
  }

  /** Records whose key begins with `prefix`, in key order. Finish the loop in the same turn of the event loop. */
  *under(...prefix: string[]): Generator<Row<T>> {
    for (const { key: stored, value } of this.#db.getRange({ start: prefix })) {
      const key = parts(stored);
      if (!hasPrefix(key, prefix)) return;
      yield { key, record: this.#codec.decode(value) };
    }
  }

  #page(prefix: string[], after: string[] | undefined, limit: number): Row<T>[] {
    const rows: Row<T>[] = [];
    const start: DurableKey = after ?? prefix;
    for (const { key: stored, value } of this.#db.getRange({ start, exclusiveStart: after !== undefined, limit })) {
      const key = parts(stored);
      if (!hasPrefix(key, prefix)) break;
      rows.push({ key, record: this.#codec.decode(value) });
    }
    return rows;
  }

  /**
   * Records under `prefix`, page by page; others get their turn in between. What is written meanwhile may or may not be
   * among them.
   *
   * @throws the signal's reason
   */
  async *pages(prefix: string[], signal: AbortSignal, limit: number = pageSize): AsyncGenerator<Row<T>[]> {
    const yieldTurn = createYield();
    let after: string[] | undefined;
    for (;;) {
      signal.throwIfAborted();
      const rows = this.#page(prefix, after, limit);
      yield rows;
      if (rows.length < limit) return;
      after = rows.at(-1)?.key;
      await yieldTurn();
    }
  }

  /** The records under `prefix` that match. As `pages`. */
  async select(prefix: string[], signal: AbortSignal, matches: (record: T) => boolean): Promise<T[]> {
    const selected: T[] = [];
    for await (const rows of this.pages(prefix, signal)) {
      for (const { record } of rows) if (matches(record)) selected.push(record);
    }
    return selected;
  }

  /** Keys that begin with `prefix`, in order. Finish the loop in the same turn of the event loop. */
  *keysUnder(...prefix: string[]): Generator<string[]> {
    for (const stored of this.#db.getKeys({ start: prefix })) {
      const key = parts(stored);
      if (!hasPrefix(key, prefix)) return;
      yield key;
    }
  }

  /** Up to `limit` keys of the whole table, after the key `after` if given. */
  keyPage(after: string[] | undefined, limit: number): string[][] {
    return [...this.#db.getKeys(pageRange(after, limit))].map(parts);
  }

  /** Up to `limit` records of the whole table, after the key `after` if given. */
  storedPage(after: string[] | undefined, limit: number): StoredRow[] {
    const rows: StoredRow[] = [];
    for (const { key, value } of this.#db.getRange(pageRange(after, limit)))
      rows.push({ key: parts(key), bytes: value });
    return rows;
  }

  /** Whether no key begins with `prefix`. */
  isEmpty(...prefix: string[]): boolean {
    for (const _key of this.keysUnder(...prefix)) return false;
    return true;
  }

  /** Removes every record whose key begins with `prefix`. */
  removeUnder(...prefix: string[]): void {
    while (!this.removeSome(Number.POSITIVE_INFINITY, ...prefix));
  }

  /** Removes up to `limit` records whose key begins with `prefix`; whether none is left. */
  removeSome(limit: number, ...prefix: string[]): boolean {
    const keys: string[][] = [];
    for (const key of this.keysUnder(...prefix)) if (keys.push(key) >= limit) break;
    for (const key of keys) this.remove(...key);
    return keys.length < limit;
  }
}

function pageRange(
  after: string[] | undefined,
  limit: number,
): { start?: DurableKey; exclusiveStart?: boolean; limit: number } {
  return after === undefined ? { limit } : { start: after, exclusiveStart: true, limit };
}

/** A key of one part is stored, and read back, like a string. */
function parts(key: DurableKey): string[] {
  return Array.isArray(key) ? (key as string[]) : [key as string];
}

/** A record that is nothing but its key. */
export const keyOnly: Codec<true> = {
  encode: () => ({ finish: () => Uint8Array.of(1) }),
  decode: () => true,
};
