/**
 * Mounts that the kernel cannot do: containerd's mount manager makes plain ones of them. There is none here yet, so what
 * needs one is refused before anything is done. Pure.
 *
 * @module
 */
import { notImplemented } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";

/** Prefix of the options that are for the manager. */
const optionPrefix = "X-containerd.";

/** What one mount asks of a mount manager. */
export interface ManagerNeeds {
  /** Transformers in front of its type, in order: `format`, `mkdir`, … */
  readonly transformers: readonly string[];
  /** Its options that are for the manager. */
  readonly options: readonly string[];
}

/** What a mount asks of a mount manager; undefined for one that the kernel, or a mount helper, does. */
export function managerNeeds(mount: Mount): ManagerNeeds | undefined {
  const transformers = mount.type.split("/").slice(0, -1);
  const options = mount.options.filter((word) => word.startsWith(optionPrefix));
  return transformers.length === 0 && options.length === 0 ? undefined : { transformers, options };
}

/**
 * Refuses mounts that need a mount manager.
 *
 * @param allowed entries of a runtime's `containerd.io/runtime-allow-mounts` for transformers that its shim does itself,
 *   as `format/*`
 * @throws ContainerdError `not-implemented` naming type or option, and what to do
 */
export function refuseManaged(mounts: readonly Mount[], allowed: ReadonlySet<string> = new Set<string>()): void {
  const isDone = (transformer: string): boolean => allowed.has(`${transformer}/*`);
  for (const mount of mounts) {
    const needs = managerNeeds(mount);
    if (needs === undefined) continue;
    const { transformers, options } = needs;
    const left = transformers.find((one) => !isDone(one));
    // An option is for the transformer that it names.
    const option = options.find((one) => !isDone(one.slice(optionPrefix.length).split(".")[0] ?? ""));
    if (left === undefined && option === undefined) continue;
    const what = left === undefined ? `option "${option}"` : `"${left}/"`;
    throw notImplemented(
      `mount of type "${mount.type}" from "${mount.source}": ${what} is for containerd's mount manager, which this ` +
        "daemon does not have (use a snapshotter of plain mounts, as overlayfs or native, or a runtime whose shim does " +
        "such mounts itself)",
    );
  }
}
