import type { Differ } from "@ctrd/core/diff";
import { invalidArgument, isKind, notImplemented } from "@ctrd/core/errors";

/** Options of {@link diffService}. */
export interface DiffServiceOptions {
  /** Names of differs, in the order in which they are asked. */
  readonly order: readonly string[];
  /** Flush the file system after every apply. */
  readonly syncFs: boolean;
}

/**
 * Differs as one: each is asked in order, and one that does not know the media type passes the question on.
 *
 * @throws ContainerdError `invalid-argument` when `order` names a differ that is not there
 */
export function diffService(differs: ReadonlyMap<string, Differ>, options: DiffServiceOptions): Differ {
  const ordered = options.order.map((name) => {
    const differ = differs.get(name);
    if (differ === undefined) {
      const known = [...differs.keys()].join(", ") || "none";
      throw invalidArgument(`differ "${name}" in "default" of the diff service is not loaded; loaded: ${known}`);
    }
    return differ;
  });
  if (ordered.length === 0) throw invalidArgument('"default" of the diff service must name at least one differ');
  return {
    apply: (ctx, diff, mounts, applyOptions = {}) => {
      const syncFs = options.syncFs || applyOptions.syncFs === true;
      return firstAble(ordered, `apply layer "${diff.digest}" of type "${diff.mediaType}"`, (differ) =>
        differ.apply(ctx, diff, mounts, { ...applyOptions, syncFs }),
      );
    },
    compare: (ctx, lower, upper, compareOptions = {}) =>
      firstAble(ordered, `compare to type "${compareOptions.mediaType ?? ""}"`, (differ) =>
        differ.compare(ctx, lower, upper, compareOptions),
      ),
  };
}

async function firstAble<T>(
  differs: readonly Differ[],
  operation: string,
  ask: (differ: Differ) => Promise<T>,
): Promise<T> {
  let refusal: unknown;
  for (const differ of differs) {
    try {
      return await ask(differ);
    } catch (error) {
      if (!isKind(error, "not-implemented")) throw error;
      refusal = error;
    }
  }
  if (differs.length === 1) throw refusal;
  throw notImplemented(`${operation}: no differ can`, { cause: refusal });
}
