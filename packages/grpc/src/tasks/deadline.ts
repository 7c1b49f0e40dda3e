import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { deadlineExceeded } from "@ctrd/core/errors";

/**
 * Runs `work` for at most `timeoutMs` milliseconds. It is told to stop, and not waited for when it does not.
 *
 * @param what names the work, for the message
 * @throws ContainerdError `deadline-exceeded`
 */
export async function withDeadline<T>(
  ctx: CallContext,
  timeoutMs: number,
  what: string,
  work: (ctx: CallContext) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = deadlineExceeded(`${what}: no answer within ${timeoutMs} ms`);
    controller.abort(error);
    reject(error);
  }, timeoutMs);
  try {
    return await Promise.race([work(withSignal(ctx, controller.signal)), expired]);
  } finally {
    clearTimeout(timer);
  }
}
