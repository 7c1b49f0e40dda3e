/**
 * Limits how many processes one old shim starts at a time.
 *
 * A version 2 shim starts processes one after the other under a lock that its handler of exits also takes, and has room
 * for 32 exits meanwhile. A start makes about three (runc and its helpers, the process itself), so a dozen starts
 * waiting at the shim can stop it for good (seen with 1.6.20 and 50 short execs at once). Since it would serialise
 * them anyway, holding them back here costs nothing.
 *
 * @module
 */

/** Starts that an old shim gets at a time. */
const limit = 4;

interface Gate {
  running: number;
  waiting: (() => void)[];
}

/** Gates by address of the shim: tasks of one group share a process. */
export class StartGates {
  readonly #gates: Map<string, Gate> = new Map();

  /** Runs `start` when the shim at `address` has room. */
  async run<T>(address: string, start: () => Promise<T>): Promise<T> {
    const gate = this.#gates.get(address) ?? { running: 0, waiting: [] };
    this.#gates.set(address, gate);
    if (gate.running >= limit) await new Promise<void>((resolve) => gate.waiting.push(resolve));
    else gate.running++;
    try {
      return await start();
    } finally {
      // A waiting start takes over this one's place.
      const next = gate.waiting.shift();
      if (next !== undefined) next();
      else if (--gate.running === 0) this.#gates.delete(address);
    }
  }
}
