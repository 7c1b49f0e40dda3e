import { setImmediate } from "node:timers/promises";

/** Longest slice of work between two turns of the event loop, in milliseconds. */
export const sliceMs = 5;

/** Pending while a turn is awaited: all loops go on together and share the next slice. */
let turn: Promise<void> | undefined;
let turnStart = 0;

/**
 * Makes a function for long loops on the event loop: awaited in each round, it lets others run when the slice is used
 * up. An `await` alone does not: where nothing is waited for, one round follows the other in the same turn.
 */
export function createYield(): () => Promise<void> | undefined {
  const start = performance.now();
  return () => {
    if (performance.now() - Math.max(start, turnStart) < sliceMs) return undefined;
    turn ??= nextTurn();
    return turn;
  };
}

async function nextTurn(): Promise<void> {
  await setImmediate();
  turn = undefined;
  turnStart = performance.now();
}

/**
 * Runs `work` for each item, for `atOnce` of them at a time, and lets others run in between.
 *
 * @throws the first failure of `work`; what had begun goes on
 */
export async function forEach<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void> | void,
): Promise<void> {
  const queue = items.values();
  const yieldTurn = createYield();
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      await work(item);
      await yieldTurn();
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
