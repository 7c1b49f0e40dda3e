/**
 * Errors on the wire: kinds are gRPC status codes, messages travel in full.
 */
import type { Logger } from "@ctrd/core/log";
import { codeFromKind, ContainerdError, kindFromCode, kindOf, messageOf } from "@ctrd/core/errors";

/** A gRPC status that is not OK. */
export interface WireStatus {
  readonly code: number;
  /** Human readable message, in full. */
  readonly details: string;
}

/** Longest message on the wire, in UTF-16 units. It travels in a header, and peers refuse headers over 16 KiB or so. */
const maxMessageLength = 4096;

/** The status of any thrown value. Values that are not errors of ours are logged: they are bugs or unmapped failures. */
export function statusFromError(error: unknown, log: Logger): WireStatus {
  const kind = kindOf(error);
  if (kind === "unknown" && !(error instanceof ContainerdError)) log.error({ err: error }, "call failed unexpectedly");
  return { code: codeFromKind(kind), details: wireMessage(messageOf(error)) };
}

function wireMessage(message: string): string {
  const text = message.length > maxMessageLength ? `${message.slice(0, maxMessageLength)}…` : message;
  // A lone surrogate (half of a pair, cut by a slice here or elsewhere) cannot be percent-encoded.
  return text.toWellFormed();
}

/** The error that a status stands for; its message ends with the kind's text once. */
export function errorFromStatus(status: WireStatus): ContainerdError {
  return new ContainerdError(kindFromCode(status.code), status.details);
}
