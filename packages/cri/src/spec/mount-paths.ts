/** Paths of mounts in containers. */
import { posix } from "node:path";
import type { Mount } from "@ctrd/api/cri/runtime/v1/api";

/** The path without `.`, `..`, double and trailing slashes; a relative one is below the root. */
export function cleanPath(path: string): string {
  const clean = posix.join("/", path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Whether one of the mounts is on this path. */
export function isDestinationOf(path: string, mounts: readonly Mount[]): boolean {
  const clean = cleanPath(path);
  return mounts.some((mount) => cleanPath(mount.containerPath) === clean);
}
