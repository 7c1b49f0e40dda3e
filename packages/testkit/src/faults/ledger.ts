/**
 * What a daemon has acknowledged, and must therefore still have after any crash.
 *
 * @module
 */

/** Facts that a daemon's answers have made true, each with the question that shows it. */
export class Ledger {
  readonly #facts = new Map<string, () => Promise<void>>();

  /** Number of facts. */
  get size(): number {
    return this.#facts.size;
  }

  /**
   * The daemon has answered: `what` is true from now on. A fact of the same name is replaced.
   *
   * @param check throws when it is not true
   */
  acknowledged(what: string, check: () => Promise<void>): void {
    this.#facts.set(what, check);
  }

  /** A change of `what` begins: until it is acknowledged, both states are right. */
  uncertain(what: string): void {
    this.#facts.delete(what);
  }

  /** Asks for every fact. Returns what is not true, one line each. */
  async verify(): Promise<string[]> {
    const lost: string[] = [];
    for (const [what, check] of this.#facts) {
      await check().catch((error: unknown) => lost.push(`acknowledged and lost: ${what}: ${String(error)}`));
    }
    return lost;
  }
}
