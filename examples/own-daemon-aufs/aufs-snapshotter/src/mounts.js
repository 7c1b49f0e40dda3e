import { resourceExhausted } from "@ctrd/core/errors";
import { SnapshotKind } from "@ctrd/core/snapshots";

/** mount(2) copies one page of options, and its end must be in it. */
const longestOptions = 4095;

/**
 * The mounts of an active snapshot or a view: a union of its own directory and those of its parents, uppermost first.
 * Branches marked `wh` may hold the files `.wh.<name>` that hide what is below them.
 *
 * @param {import("@ctrd/storage").SnapshotChain} chain
 * @param {(id: string) => string} filesOf
 * @param {readonly string[]} mountOptions
 * @returns {import("@ctrd/core/records").Mount[]}
 */
export function snapshotMounts({ record, parentIds }, filesOf, mountOptions) {
  const isView = record.info.kind === SnapshotKind.View;
  const [nearest] = parentIds;
  // With one branch there is nothing to unite.
  if (nearest === undefined) return [bind(filesOf(record.id), isView)];
  if (isView && parentIds.length === 1) return [bind(filesOf(nearest), true)];
  const own = isView ? [] : [`${filesOf(record.id)}=rw+wh`];
  const branches = `br=${[...own, ...parentIds.map((id) => `${filesOf(id)}=ro+wh`)].join(":")}`;
  const options = [...(isView ? ["ro"] : []), branches, ...mountOptions];
  const length = Buffer.byteLength(options.join(","));
  if (length > longestOptions) {
    const what = `mount snapshot "${record.info.name}": its ${parentIds.length} layers need ${length} bytes of options`;
    throw resourceExhausted(`${what}, the kernel takes ${longestOptions}; use a shorter root_path or fewer layers`);
  }
  return [{ type: "aufs", source: "none", target: "", options }];
}

/**
 * @param {string} source
 * @param {boolean} readOnly
 */
function bind(source, readOnly) {
  return { type: "bind", source, target: "", options: ["rbind", readOnly ? "ro" : "rw"] };
}
