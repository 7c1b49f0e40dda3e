/**
 * Where things are on disk; the same places as containerd's local content store.
 *
 * ```
 * <root>/blobs/<algorithm>/<hex>
 * <root>/ingest/<hex sha256 of ref>/{ref,data,startedat,updatedat,total}
 * ```
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { DigestAlgorithm } from "@ctrd/core/digests";
import { isDigest, parseDigest } from "@ctrd/core/digests";

/** Paths below the root of a store. */
export interface Layout {
  readonly root: string;
  readonly blobs: string;
  readonly ingests: string;
  /** Directory of the blobs of one algorithm. */
  algorithm(algorithm: DigestAlgorithm): string;
  /** @throws ContainerdError `invalid-argument` when `digest` is malformed */
  blob(digest: string): string;
  /** Directory of an ingest. */
  ingest(ref: string): string;
}

/** The layout below `root`. */
export function createLayout(root: string): Layout {
  const blobs = join(root, "blobs");
  const ingests = join(root, "ingest");
  return {
    root,
    blobs,
    ingests,
    algorithm: (algorithm) => join(blobs, algorithm),
    blob(digest) {
      const { algorithm, hex } = parseDigest(digest);
      return join(blobs, algorithm, hex);
    },
    ingest: (ref) => join(ingests, createHash("sha256").update(ref).digest("hex")),
  };
}

/** The digest of the blob file `<algorithm>/<name>`; undefined when the file is no blob. */
export function digestOfFile(algorithm: string, name: string): string | undefined {
  const digest = `${algorithm}:${name}`;
  return isDigest(digest) ? digest : undefined;
}
