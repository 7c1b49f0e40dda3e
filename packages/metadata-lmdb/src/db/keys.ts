/**
 * Keys of the database: arrays of strings, the namespace first.
 */
import { invalidArgument } from "@ctrd/core/errors";

/** Most UTF-8 bytes of one user-given part of a key; LMDB's own limit is 1978 for the whole key. */
export const maxKeyPart = 1024;

/**
 * Checks a name, reference or key that a client chose, before it becomes part of a database key.
 *
 * @param what what it names, for the message
 * @throws ContainerdError `invalid-argument` when it is empty, too long, or holds a NUL (the separator of key parts)
 */
export function checkKeyPart(what: string, value: string): void {
  if (value === "") throw invalidArgument(`${what} must not be empty`);
  if (value.includes("\0")) throw invalidArgument(`${what} must not contain NUL`);
  if (value.length * 3 <= maxKeyPart) return;
  const size = Buffer.byteLength(value);
  if (size > maxKeyPart) {
    throw invalidArgument(`${what} "${value.slice(0, 32)}…" has ${size} bytes, at most ${maxKeyPart} are allowed`);
  }
}

/** Whether `key` begins with all elements of `prefix`. */
export function hasPrefix(key: readonly unknown[], prefix: readonly string[]): boolean {
  return prefix.every((part, index) => key[index] === part);
}
