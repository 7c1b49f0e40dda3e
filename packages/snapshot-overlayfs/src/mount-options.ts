/**
 * Which mounts make a snapshot visible. Pure.
 */
import type { Labels, Mount } from "@ctrd/core/records";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { SnapshotChain, SnapshotDirectories } from "@ctrd/storage";
import { upperOf, workOf } from "./directories.ts";
import { gidMappingLabel, uidMappingLabel } from "./id-mapping.ts";

/** What this kernel asks for and can do. */
export interface OverlayFeatures {
  /** Overlay attributes must be `user.overlay.*`: in a user namespace, from Linux 5.11. */
  readonly userXattr: boolean;
  /** The kernel's overlay has the `index` parameter. */
  readonly index: boolean;
  /** Mounts can map ids. */
  readonly idMapped: boolean;
}

/** The options that follow the directories in every overlay mount, in containerd's order. */
export function extraOptions(configured: readonly string[], features: OverlayFeatures): string[] {
  const options = [...configured];
  if (features.userXattr && !options.includes("userxattr")) options.push("userxattr");
  const hasIndex = configured.some((option) => option === "index" || option.startsWith("index="));
  // A directory may be lower in several mounts at once, which the index forbids.
  if (features.index && !hasIndex) options.push("index=off");
  return options;
}

/** The mounts of an active snapshot or a view. */
export function snapshotMounts(
  directories: SnapshotDirectories,
  chain: SnapshotChain,
  extra: readonly string[],
  features: OverlayFeatures,
): Mount[] {
  const { record, parentIds } = chain;
  const mapping = features.idMapped ? mappingOptions(record.info.labels) : [];
  const [nearest] = parentIds;
  const isView = record.info.kind === SnapshotKind.View;
  // Overlay needs a lower directory; and two directories, one of which may be the upper one.
  if (nearest === undefined) return [bind(upperOf(directories, record.id), isView, mapping)];
  if (isView && parentIds.length === 1) return [bind(upperOf(directories, nearest), true, mapping)];
  const own = isView
    ? []
    : [`workdir=${workOf(directories, record.id)}`, `upperdir=${upperOf(directories, record.id)}`];
  const lower = `lowerdir=${parentIds.map((id) => upperOf(directories, id)).join(":")}`;
  return [{ type: "overlay", source: "overlay", target: "", options: [...mapping, ...own, lower, ...extra] }];
}

function bind(source: string, readOnly: boolean, mapping: readonly string[]): Mount {
  return { type: "bind", source, target: "", options: [...mapping, readOnly ? "ro" : "rw", "rbind"] };
}

function mappingOptions(labels: Labels): string[] {
  const options: string[] = [];
  const uids = labels.get(uidMappingLabel);
  const gids = labels.get(gidMappingLabel);
  if (uids !== undefined) options.push(`uidmap=${uids}`);
  if (gids !== undefined) options.push(`gidmap=${gids}`);
  return options;
}
