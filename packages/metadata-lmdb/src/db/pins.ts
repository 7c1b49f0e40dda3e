/**
 * Pins on backend objects: a backend object is removed only while nobody has it pinned, and whoever pins one that is
 * being removed waits until it is gone. Calls pin what they are about to name in the metadata, so that the clean-up of
 * backends cannot remove it in between.
 */
export class Pins {
  readonly #counts = new Map<string, number>();
  readonly #removing = new Map<string, Promise<void>>();

  /** Pins `key`; returns the unpin function, which may be called more than once. */
  async pin(key: string): Promise<() => void> {
    for (let removal = this.#removing.get(key); removal !== undefined; removal = this.#removing.get(key)) await removal;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    let pinned = true;
    return () => {
      if (!pinned) return;
      pinned = false;
      const count = (this.#counts.get(key) ?? 1) - 1;
      if (count === 0) this.#counts.delete(key);
      else this.#counts.set(key, count);
    };
  }

  /** Claims `key` for removal; undefined when it is pinned or claimed. The result ends the claim. */
  tryRemove(key: string): (() => void) | undefined {
    if (this.#counts.has(key) || this.#removing.has(key)) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#removing.set(key, promise);
    return () => {
      this.#removing.delete(key);
      resolve();
    };
  }
}
