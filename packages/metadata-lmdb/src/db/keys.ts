/**
 * Keys of the database: arrays of strings, the namespace first.
 */
import { createHash } from "node:crypto";
import { invalidArgument } from "@ctrd/core/errors";

/**
 * Most UTF-8 bytes of user-given parts of keys. LMDB takes 1978 for a whole key, of which the namespace may have 76;
 * lease and resource meet in one key, and where two long parts would, one of them is shortened (`shortKey`).
 */
export const maxKeyPart = 1024;
const maxLeaseId = 512;
const maxSnapshotter = 128;
/** Longer parts of index keys are replaced by a digest. */
const maxShortKey = 256;

/**
 * Checks a name, reference or key that a client chose, before it becomes part of a database key.
 *
 * @param what what it names, for the message
 * @throws ContainerdError `invalid-argument` when it is empty, too long, or holds a NUL (the separator of key parts)
 */
export function checkKeyPart(what: string, value: string, limit: number = maxKeyPart): void {
  if (value === "") throw invalidArgument(`${what} must not be empty`);
  if (value.includes("\0")) throw invalidArgument(`${what} must not contain NUL`);
  if (value.length * 3 <= limit) return;
  const size = Buffer.byteLength(value);
  if (size > limit) {
    throw invalidArgument(`${what} "${value.slice(0, 32)}…" has ${size} bytes, at most ${limit} are allowed`);
  }
}

/** Checks an id of a lease: free text, moby uses digests. @throws ContainerdError `invalid-argument` */
export function checkLeaseId(id: string): void {
  checkKeyPart("lease id", id, maxLeaseId);
}

/** Checks the name of a snapshotter. @throws ContainerdError `invalid-argument` */
export function checkSnapshotter(name: string): void {
  checkKeyPart("snapshotter", name, maxSnapshotter);
}

/** Stands for `value` in the key of an index that need not give it back. */
export function shortKey(value: string): string {
  if (value.length * 3 <= maxShortKey || Buffer.byteLength(value) <= maxShortKey) return `=${value}`;
  return `#${createHash("sha256").update(value).digest("hex")}`;
}

/** Whether `key` begins with all elements of `prefix`. */
export function hasPrefix(key: readonly unknown[], prefix: readonly string[]): boolean {
  return prefix.every((part, index) => key[index] === part);
}
