/**
 * Failures as the client reports them.
 *
 * @module
 */
import { untilAborted as unlessAborted } from "@ctrd/core/context";
import { canceled, ContainerdError, deadlineExceeded, isKind, kindOf, messageOf } from "@ctrd/core/errors";

/** Runs `body`; whatever it throws comes out as a ContainerdError, a cancellation as `canceled` or `deadline-exceeded`. */
export async function reported<T>(what: string, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw reportOf(what, signal, error);
  }
}

/** The error to throw for `error`. */
export function reportOf(what: string, signal: AbortSignal, error: unknown): ContainerdError {
  if (error instanceof ContainerdError) return error;
  if (signal.aborted) return abortError(what, signal);
  return new ContainerdError(kindOf(error), `${what}: ${messageOf(error)}`, { cause: error });
}

/** Waits for `promise`, but no longer than until `signal` aborts. What the promise stands for goes on. */
export function untilAborted<T>(what: string, promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return reported(what, signal, () => unlessAborted(promise, signal));
}

/** Does what must be gone afterwards: that it is gone already is no failure. */
export async function unlessGone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}

function abortError(what: string, signal: AbortSignal): ContainerdError {
  const make = kindOf(signal.reason) === "deadline-exceeded" ? deadlineExceeded : canceled;
  return make(what, { cause: signal.reason });
}
