/**
 * Taking turns.
 *
 * @module
 */

/** At most so many at a time. */
export class Turns {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param limit how many at a time; unlimited when 0 */
  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(body: () => Promise<T>): Promise<T> {
    if (this.#limit > 0 && this.#running >= this.#limit)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await body();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
