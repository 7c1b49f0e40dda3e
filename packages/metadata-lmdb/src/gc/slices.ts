/**
 * Long work on the event loop, cut into slices so that no call waits for it.
 */
import { setImmediate } from "node:timers/promises";

/** Longest slice, in milliseconds. A call has to wait for one or two of them, however long the collection takes. */
const sliceMs = 0.5;
/** A turn of the event loop that took longer had something else to do, in milliseconds. */
const idleTurnMs = 0.1;
/** Longest wait for a turn with nothing else to do, in milliseconds: a collection must come to its end. */
const patienceMs = 4;

export class Slices {
  readonly #signal: AbortSignal;
  #start = performance.now();
  #busyMs = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Time spent working so far, in milliseconds. */
  get busyMs(): number {
    return this.#busyMs;
  }

  /** Lets others run when the slice is used up, all that they have to do at the moment. @throws the signal's reason */
  async yield(): Promise<void> {
    const end = performance.now();
    const used = end - this.#start;
    if (used < sliceMs) return;
    this.#busyMs += used;
    let turn: number;
    do {
      turn = performance.now();
      await setImmediate();
      this.#start = performance.now();
    } while (this.#start - turn > idleTurnMs && this.#start - end < patienceMs);
    this.#signal.throwIfAborted();
  }

  /** Waits for something that is not work of the event loop. @throws the signal's reason */
  async wait<T>(promise: Promise<T>): Promise<T> {
    this.#busyMs += performance.now() - this.#start;
    const result = await promise;
    this.#start = performance.now();
    this.#signal.throwIfAborted();
    return result;
  }

  /** Adds work that was done elsewhere, in a write transaction. */
  add(ms: number): void {
    this.#busyMs += ms;
  }
}
