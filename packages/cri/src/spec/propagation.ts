/** How mounts of the host spread. */
import { readFile } from "node:fs/promises";
import { failedPrecondition } from "@ctrd/core/errors";
import type { MountInfo } from "@ctrd/sys";
import { parseMountInfo } from "@ctrd/sys";

/** Kinds by the tags of mountinfo: the mount is in a group, or follows one. */
export type PropagationTag = "shared" | "master";

/**
 * Makes sure that the mount below a path spreads in one of these ways.
 *
 * @throws ContainerdError `failed-precondition` naming the path and the mount point
 */
export async function requirePropagation(path: string, tags: readonly PropagationTag[]): Promise<void> {
  const mount = mountOf(path, parseMountInfo(await readFile("/proc/self/mountinfo", "utf8")));
  if (tags.some((tag) => mount?.tags.some((each) => each.startsWith(`${tag}:`)))) return;
  const wanted = tags.includes("master") ? "shared or slave" : "shared";
  throw failedPrecondition(
    `path "${path}" is mounted on "${mount?.mountPoint ?? "/"}" but it is not a ${wanted} mount ` +
      `(make it one with mount --make-rshared ${mount?.mountPoint ?? "/"})`,
  );
}

/** The mount that a path is on: the last one on the deepest mount point. */
function mountOf(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  const holding = mounts.filter(({ mountPoint }) => mountPoint === "/" || `${path}/`.startsWith(`${mountPoint}/`));
  const deepest = Math.max(...holding.map(({ mountPoint }) => mountPoint.length));
  return holding.findLast(({ mountPoint }) => mountPoint.length === deepest);
}
