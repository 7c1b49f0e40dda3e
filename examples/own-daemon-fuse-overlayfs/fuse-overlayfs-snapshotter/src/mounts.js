import { SnapshotKind } from "@ctrd/core/snapshots";

/**
 * The mounts of an active snapshot or a view. The type `fuse3.<program>` is containerd's: whoever mounts it runs
 * `mount.fuse3`, and that starts the program.
 *
 * @param {import("@ctrd/storage").SnapshotChain} chain
 * @param {(id: string) => string} directoryOf
 * @returns {import("@ctrd/core/records").Mount[]}
 */
export function snapshotMounts({ record, parentIds }, directoryOf) {
  const own = directoryOf(record.id);
  const [nearest] = parentIds;
  const isView = record.info.kind === SnapshotKind.View;
  // With one directory there is nothing to lay over another.
  if (nearest === undefined) return [bind(`${own}/fs`, isView)];
  if (isView && parentIds.length === 1) return [bind(`${directoryOf(nearest)}/fs`, true)];
  const lower = `lowerdir=${parentIds.map((id) => `${directoryOf(id)}/fs`).join(":")}`;
  const options = isView ? [lower] : [`workdir=${own}/work`, `upperdir=${own}/fs`, lower];
  return [{ type: "fuse3.fuse-overlayfs", source: "overlay", target: "", options }];
}

/**
 * @param {string} source
 * @param {boolean} readOnly
 */
function bind(source, readOnly) {
  return { type: "bind", source, target: "", options: ["rbind", readOnly ? "ro" : "rw"] };
}
