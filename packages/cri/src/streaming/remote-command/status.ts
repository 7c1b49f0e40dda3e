/**
 * How a client is told the outcome of a command.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";

/** What became of a command. */
export type Outcome =
  | { readonly exitCode: number }
  /** It could not be run, or not to its end. */
  | { readonly error: unknown; readonly doing: string };

/**
 * Text for the error stream: Kubernetes' `Status` as JSON, or the bare message for protocols before v4; empty when there
 * is nothing to tell.
 */
export function statusText(outcome: Outcome, json: boolean): string {
  if ("error" in outcome) {
    const message = `${outcome.doing}: ${messageOf(outcome.error)}`;
    return json ? internalError(message) : message;
  }
  const { exitCode } = outcome;
  if (exitCode === 0) return json ? JSON.stringify({ status: "Success" }) : "";
  const message = `command terminated with non-zero exit code: exit code ${exitCode}`;
  if (!json) return message;
  return JSON.stringify({
    status: "Failure",
    message,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  });
}

function internalError(message: string): string {
  return JSON.stringify({
    status: "Failure",
    message: `Internal error occurred: ${message}`,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  });
}
