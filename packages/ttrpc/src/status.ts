/**
 * Errors as `google.rpc.Status`, both ways.
 *
 * @module
 */
import type { Status } from "@ctrd/api/google/rpc/status";
import type { ErrorKind } from "@ctrd/core/errors";
import { codeFromKind, ContainerdError, errnoOf, kindFromCode, kindOf, messageOf } from "@ctrd/core/errors";

const kindByErrno: ReadonlyMap<string, ErrorKind> = new Map<string, ErrorKind>([
  ["ENOENT", "not-found"],
  ["EEXIST", "already-exists"],
  ["EACCES", "permission-denied"],
  ["EPERM", "permission-denied"],
]);

/** The status that tells a peer about an error which a handler threw. */
export function statusFromError(error: unknown): Status {
  let kind = kindOf(error);
  if (kind === "unknown" && !(error instanceof ContainerdError)) kind = kindByErrno.get(errnoOf(error) ?? "") ?? kind;
  return { code: codeFromKind(kind), message: messageOf(error), details: [] };
}

/** The error that a peer's status stands for. */
export function errorFromStatus(status: Status): ContainerdError {
  return new ContainerdError(kindFromCode(status.code), status.message);
}
