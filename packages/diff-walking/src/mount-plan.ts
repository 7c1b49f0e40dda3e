/**
 * What mounts mean for apply and compare. Often nothing needs to be mounted. Pure.
 *
 * @module
 */
import { failedPrecondition } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import { refuseManaged } from "@ctrd/sys";

/** Where a layer goes. */
export type ApplyTarget =
  | {
      kind: "directory";
      root: string;
      /** `root` is the upper directory of an overlay. */
      overlay: boolean;
      /** Lower directories of that overlay, nearest first. */
      lowers: string[];
    }
  | { kind: "mounts"; mounts: Mount[] };

/** A tree to read: a directory, mounts to perform, or nothing. */
export type TreeSource = { kind: "directory"; path: string } | { kind: "mounts"; mounts: Mount[] } | { kind: "empty" };

/** Two trees to compare. */
export interface ComparePlan {
  lower: TreeSource;
  upper: TreeSource;
  /** Upper directory that names all that can differ. */
  guide: string | undefined;
}

interface OverlayDirectories {
  upper: string | undefined;
  /** Nearest first. */
  lowers: string[];
  /** Options that are no directories. */
  others: string[];
}

/** @throws ContainerdError `failed-precondition` for a read-only bind mount; as `refuseManaged` */
export function planApply(mounts: readonly Mount[]): ApplyTarget {
  refuseManaged(mounts);
  const [only] = mounts;
  if (mounts.length === 1 && only !== undefined && only.target === "") {
    const overlay = overlayOf(only);
    if (overlay?.upper !== undefined) {
      return { kind: "directory", root: overlay.upper, overlay: true, lowers: overlay.lowers };
    }
    if (isPlainBind(only)) {
      if (only.options.includes("ro")) throw failedPrecondition(`apply layer to the read-only mount of ${only.source}`);
      return { kind: "directory", root: only.source, overlay: false, lowers: [] };
    }
  }
  return { kind: "mounts", mounts: [...mounts] };
}

/** How to read both sides without writing to either. @throws ContainerdError as `refuseManaged` */
export function planCompare(lower: readonly Mount[], upper: readonly Mount[]): ComparePlan {
  refuseManaged([...lower, ...upper]);
  return { lower: readOnlyTree(lower), upper: readOnlyTree(upper), guide: guideOf(lower, upper) };
}

/** The upper directory of `upper`, when its lower directories are exactly what `lower` shows. */
function guideOf(lower: readonly Mount[], upper: readonly Mount[]): string | undefined {
  const [left, right] = [lower[0], upper[0]];
  if (lower.length !== 1 || upper.length !== 1 || left === undefined || right === undefined) return undefined;
  const overlay = overlayOf(right);
  if (overlay?.upper === undefined || left.target !== "" || right.target !== "") return undefined;
  const below = isPlainBind(left) ? { upper: undefined, lowers: [left.source] } : overlayOf(left);
  if (below === undefined) return undefined;
  const shown = below.upper === undefined ? below.lowers : [below.upper, ...below.lowers];
  const same = shown.length === overlay.lowers.length && shown.every((path, index) => path === overlay.lowers[index]);
  return same ? overlay.upper : undefined;
}

function readOnlyTree(mounts: readonly Mount[]): TreeSource {
  const [only] = mounts;
  if (only === undefined) return { kind: "empty" };
  if (mounts.length === 1 && only.target === "" && isPlainBind(only)) return { kind: "directory", path: only.source };
  return { kind: "mounts", mounts: mounts.map(readOnly) };
}

/** An overlay becomes one of lower directories only, so that it can be mounted while its upper is in use. */
function readOnly(mount: Mount): Mount {
  const overlay = overlayOf(mount);
  if (overlay === undefined) {
    return { ...mount, options: [...mount.options.filter((word) => word !== "rw" && word !== "ro"), "ro"] };
  }
  const layers = overlay.upper === undefined ? overlay.lowers : [overlay.upper, ...overlay.lowers];
  const [only = ""] = layers;
  if (layers.length === 1) return { ...mount, type: "bind", source: only, options: ["rbind", "ro"] };
  return { ...mount, options: [...overlay.others, "ro", `lowerdir=${layers.map(escape).join(":")}`] };
}

function isPlainBind(mount: Mount): boolean {
  const bind = mount.type === "bind" || mount.options.includes("bind") || mount.options.includes("rbind");
  return bind && !mount.options.some((word) => /^(?:uidmap=|gidmap=|remount$)/.test(word));
}

function overlayOf(mount: Mount): OverlayDirectories | undefined {
  if (mount.type !== "overlay") return undefined;
  const directories: OverlayDirectories = { upper: undefined, lowers: [], others: [] };
  for (const word of mount.options) {
    if (word.startsWith("upperdir=")) directories.upper = word.slice("upperdir=".length);
    else if (word.startsWith("lowerdir=")) directories.lowers = splitLowers(word.slice("lowerdir=".length));
    else if (!word.startsWith("workdir=") && word !== "rw" && word !== "ro") directories.others.push(word);
  }
  return directories;
}

/** Colons separate; a backslash makes the next character plain. */
function splitLowers(value: string): string[] {
  return (value.match(/(?:\\.|[^:\\])+/gs) ?? []).map((path) => path.replace(/\\(.)/gs, "$1"));
}

function escape(path: string): string {
  return path.replace(/[\\:]/g, "\\$&");
}
