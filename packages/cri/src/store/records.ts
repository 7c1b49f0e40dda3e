/** Records in memory by id. */
import { invalidArgument, notFound } from "@ctrd/core/errors";

/** Pods or containers by id, or by the beginning of an id. */
export class Records<T extends { readonly id: string }> {
  readonly #what: string;
  readonly #records = new Map<string, T>();

  /** @param what what they are, for messages */
  constructor(what: string) {
    this.#what = what;
  }

  add(record: T): void {
    this.#records.set(record.id, record);
  }

  delete(id: string): void {
    this.#records.delete(id);
  }

  list(): T[] {
    return [...this.#records.values()];
  }

  /**
   * The record of an id or of the beginning of one.
   *
   * @throws ContainerdError `not-found`; `invalid-argument` when several fit
   */
  get(id: string): T {
    const record = this.find(id);
    if (record === undefined) throw notFound(`${this.#what} "${id}"`);
    return record;
  }

  /** As {@link get}; undefined when there is none. */
  find(id: string): T | undefined {
    const exact = this.#records.get(id);
    if (exact !== undefined || id === "" || id.length >= 64) return exact;
    const found = this.list().filter((record) => record.id.startsWith(id));
    if (found.length > 1) throw invalidArgument(`${this.#what} "${id}" fits ${found.length} ids; write more of it`);
    return found[0];
  }
}
