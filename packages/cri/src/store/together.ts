/** Two things at once. */
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";

/**
 * Does two things at once. When one fails the other is given up, and has ended when this throws: only then can what it
 * did be undone.
 */
export async function together<A, B>(
  ctx: CallContext,
  first: (ctx: CallContext) => Promise<A>,
  second: (ctx: CallContext) => Promise<B>,
): Promise<[A, B]> {
  const failure = new AbortController();
  const each = withSignal(ctx, failure.signal);
  const watched = async <T>(body: (ctx: CallContext) => Promise<T>): Promise<T> => {
    try {
      return await body(each);
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const [one, other] = await Promise.allSettled([watched(first), watched(second)]);
  if (one.status === "fulfilled" && other.status === "fulfilled") return [one.value, other.value];
  // What failed first is the reason of the abort.
  throw failure.signal.reason;
}
