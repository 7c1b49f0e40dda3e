import type { ContainerdError } from "@ctrd/core/errors";
import { invalidArgument } from "@ctrd/core/errors";

/** The error for bytes that are no valid layer. */
export function invalidArchive(reason: string, cause?: unknown): ContainerdError {
  return invalidArgument(`invalid layer archive: ${reason}`, { cause });
}
