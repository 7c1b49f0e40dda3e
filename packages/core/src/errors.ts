/**
 * Errors of ctrd: one class, a kind, and the one table between kinds and gRPC status codes.
 *
 * A message names the object, the operation and the cause, and ends with the text of its kind
 * (`image "x": not found`), as containerd's clients expect.
 *
 * @module
 */

/** Every kind, its gRPC status code and the text its messages end with. */
const kinds = {
  canceled: { code: 1, text: "context canceled" },
  unknown: { code: 2, text: "unknown" },
  "invalid-argument": { code: 3, text: "invalid argument" },
  "deadline-exceeded": { code: 4, text: "context deadline exceeded" },
  "not-found": { code: 5, text: "not found" },
  "already-exists": { code: 6, text: "already exists" },
  "permission-denied": { code: 7, text: "permission denied" },
  "resource-exhausted": { code: 8, text: "resource exhausted" },
  "failed-precondition": { code: 9, text: "failed precondition" },
  aborted: { code: 10, text: "aborted" },
  "out-of-range": { code: 11, text: "out of range" },
  "not-implemented": { code: 12, text: "not implemented" },
  internal: { code: 13, text: "internal" },
  unavailable: { code: 14, text: "unavailable" },
  "data-loss": { code: 15, text: "data loss" },
  unauthenticated: { code: 16, text: "unauthenticated" },
} as const;

/** The kind of an error. */
export type ErrorKind = keyof typeof kinds;

/** Options of a {@link ContainerdError}. */
export interface ErrorContext {
  /** What caused it: another error, usually with an errno. */
  cause?: unknown;
}

/** The error that every component throws. */
export class ContainerdError extends Error {
  override readonly name: string = "ContainerdError";
  readonly kind: ErrorKind;

  /**
   * @param kind what kind of failure it is
   * @param message object, operation and cause; the kind's text is added at the end unless it is there already
   */
  constructor(kind: ErrorKind, message: string, context: ErrorContext = {}) {
    super(withKindText(kind, message), context.cause === undefined ? undefined : { cause: context.cause });
    this.kind = kind;
  }
}

function withKindText(kind: ErrorKind, message: string): string {
  const text = kinds[kind].text;
  if (kind === "unknown" || kind === "internal" || message === text || message.endsWith(`: ${text}`)) return message;
  return message === "" ? text : `${message}: ${text}`;
}

type Factory = (message: string, context?: ErrorContext) => ContainerdError;
const factory =
  (kind: ErrorKind): Factory =>
  (message, context) =>
    new ContainerdError(kind, message, context);

export const invalidArgument: Factory = factory("invalid-argument");
export const notFound: Factory = factory("not-found");
export const alreadyExists: Factory = factory("already-exists");
export const permissionDenied: Factory = factory("permission-denied");
export const resourceExhausted: Factory = factory("resource-exhausted");
export const failedPrecondition: Factory = factory("failed-precondition");
export const aborted: Factory = factory("aborted");
export const outOfRange: Factory = factory("out-of-range");
export const notImplemented: Factory = factory("not-implemented");
export const internal: Factory = factory("internal");
export const unavailable: Factory = factory("unavailable");
export const dataLoss: Factory = factory("data-loss");
export const canceled: Factory = factory("canceled");
export const deadlineExceeded: Factory = factory("deadline-exceeded");
export const unknownError: Factory = factory("unknown");

/** Whether `text` names a kind. */
export function isErrorKind(text: string): text is ErrorKind {
  return Object.hasOwn(kinds, text);
}

/** Whether `error` is a ContainerdError of `kind`. */
export function isKind(error: unknown, kind: ErrorKind): error is ContainerdError {
  return error instanceof ContainerdError && error.kind === kind;
}

/** Kind of any thrown value: its own, `canceled` or `deadline-exceeded` for abort errors, else `unknown`. */
export function kindOf(error: unknown): ErrorKind {
  if (error instanceof ContainerdError) return error.kind;
  if (error instanceof Error && error.name === "AbortError") return "canceled";
  if (error instanceof Error && error.name === "TimeoutError") return "deadline-exceeded";
  return "unknown";
}

/** gRPC status code of a kind. */
export function codeFromKind(kind: ErrorKind): number {
  return kinds[kind].code;
}

const kindByCode: ReadonlyMap<number, ErrorKind> = new Map(
  (Object.keys(kinds) as ErrorKind[]).map((kind) => [kinds[kind].code, kind]),
);

/** Kind of a gRPC status code; an unassigned code is `unknown`. */
export function kindFromCode(code: number): ErrorKind {
  return kindByCode.get(code) ?? "unknown";
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name (`ENOENT`) of a Node or sys error, if it has one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/**
 * What to throw for a failure that may be one of a full disk: `resource-exhausted` when no space, inode or quota is
 * left, else the error itself.
 *
 * @param operation object and operation, as `write ingest "x"`
 */
export function diskError(operation: string, error: unknown): unknown {
  const full = errnoOf(error) === "ENOSPC" || errnoOf(error) === "EDQUOT";
  if (!full) return error;
  return resourceExhausted(`${operation}: ${messageOf(error)} (free space or inodes, or raise the quota)`, {
    cause: error,
  });
}
