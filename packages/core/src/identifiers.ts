/**
 * The identifier rule for namespaces, container ids, lease ids, topic parts.
 *
 * @module
 */
import { invalidArgument } from "./errors.ts";

/** Longest identifier, in characters. */
export const maxIdentifierLength = 76;

const pattern = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;

/**
 * Checks that `value` is an identifier: 1–76 characters, alphanumeric runs joined by one of `.`, `_`, `-`.
 *
 * @param what what it names, for the message ("namespace", "container id")
 * @throws ContainerdError `invalid-argument`
 */
export function checkIdentifier(what: string, value: string): void {
  if (value === "") throw invalidArgument(`${what} must not be empty`);
  if (value.length > maxIdentifierLength) {
    throw invalidArgument(
      `${what} "${value.slice(0, 16)}…" has ${value.length} characters, at most ${maxIdentifierLength} are allowed`,
    );
  }
  if (!pattern.test(value)) {
    throw invalidArgument(`${what} "${value}" must match ${pattern.source}`);
  }
}
