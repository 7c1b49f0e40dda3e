/**
 * Errors of a full disk.
 *
 * @module
 */
import { errnoOf, resourceExhausted } from "@ctrd/core/errors";

/**
 * What to throw for a failed write: `resource-exhausted` when there is no space or quota left, else the error itself.
 *
 * @param operation object and operation (`write ingest "x"`)
 */
export function diskError(operation: string, error: unknown): unknown {
  switch (errnoOf(error)) {
    case "ENOSPC":
      return resourceExhausted(`${operation}: no space left on device`, { cause: error });
    case "EDQUOT":
      return resourceExhausted(`${operation}: disk quota exceeded`, { cause: error });
    default:
      return error;
  }
}
