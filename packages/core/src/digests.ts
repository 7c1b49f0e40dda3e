/**
 * Content digests: `<algorithm>:<hex>`.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { invalidArgument } from "./errors.ts";

const hexLength: ReadonlyMap<string, number> = new Map([
  ["sha256", 64],
  ["sha384", 96],
  ["sha512", 128],
]);

/** Algorithms that are accepted, as node:crypto names them too. */
export type DigestAlgorithm = "sha256" | "sha384" | "sha512";

/** A digest taken apart. */
export interface ParsedDigest {
  algorithm: DigestAlgorithm;
  hex: string;
}

/** Digest of zero bytes. */
export const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/**
 * Takes a digest apart.
 *
 * @throws ContainerdError `invalid-argument` when the algorithm is not known or the hex part is malformed
 */
export function parseDigest(digest: string): ParsedDigest {
  const colon = digest.indexOf(":");
  const algorithm = digest.slice(0, colon);
  const hex = digest.slice(colon + 1);
  const length = hexLength.get(algorithm);
  if (colon < 0 || length === undefined) {
    throw invalidArgument(`digest "${digest}" must be <algorithm>:<hex> with sha256, sha384 or sha512`);
  }
  if (hex.length !== length || !/^[0-9a-f]+$/.test(hex)) {
    throw invalidArgument(`digest "${digest}" must have ${length} lower-case hex digits`);
  }
  return { algorithm: algorithm as DigestAlgorithm, hex };
}

/** Whether `digest` is well formed. */
export function isDigest(digest: string): boolean {
  const colon = digest.indexOf(":");
  const length = hexLength.get(digest.slice(0, colon));
  return length !== undefined && digest.length === colon + 1 + length && /^[0-9a-f]+$/.test(digest.slice(colon + 1));
}

/** The sha256 digest of `data`. For small values only: it hashes on the calling thread. */
export function digestOf(data: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
