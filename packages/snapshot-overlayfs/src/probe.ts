/**
 * What this kernel and this filesystem can do with overlays, found by mounting one.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "@ctrd/core/errors";
import { FileSystemMagic, kernelAtLeast, mountAll, statfs, unmount, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { OverlayFeatures } from "./mount-options.ts";

/** Result of {@link probeOverlay}. */
export type OverlayProbe =
  | {
      readonly supported: true;
      readonly root: string;
      readonly features: OverlayFeatures;
      readonly inUserNamespace: boolean;
    }
  | { readonly supported: false; readonly reason: string; readonly remedy: string };

/**
 * Tries an overlay mount below `root`, which is created (0700) when missing.
 *
 * @throws the error of creating or writing directories below `root`
 */
export function probeOverlay(root: string): OverlayProbe {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const inUserNamespace = isInUserNamespace();
  const userXattr = inUserNamespace && kernelAtLeast(5, 11) && statfs(root).type !== FileSystemMagic.tmpfs;
  removeEarlierProbes(root);
  const directory = mkdtempSync(join(root, "probe-"));
  try {
    const failure = tryOverlay(directory, userXattr ? ["userxattr"] : []);
    if (failure !== undefined) return { supported: false, ...failure };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const features: OverlayFeatures = {
    userXattr,
    index: existsSync("/sys/module/overlay/parameters/index"),
    // From 5.19 on overlay accepts id-mapped layers; making such mounts takes the initial user namespace.
    idMapped: kernelAtLeast(5, 19) && !inUserNamespace,
  };
  return { supported: true, root, features, inUserNamespace };
}

/** A daemon that was killed while it probed leaves the directory, and perhaps the mount. */
function removeEarlierProbes(root: string): void {
  for (const name of readdirSync(root).filter((each) => each.startsWith("probe-"))) {
    unmountAll(join(root, name, "merged"), UnmountFlag.Detach);
    rmSync(join(root, name), { recursive: true, force: true });
  }
}

interface Failure {
  readonly reason: string;
  readonly remedy: string;
}

/** Deletes a lower file through an overlay of two lower directories. @returns why that does not work */
function tryOverlay(directory: string, options: readonly string[]): Failure | undefined {
  const path = (name: string): string => join(directory, name);
  for (const name of ["lower1", "lower2", "upper", "work", "merged"]) mkdirSync(path(name));
  writeFileSync(join(path("lower1"), "gone"), "");
  const directories = [
    `lowerdir=${path("lower2")}:${path("lower1")}`,
    `upperdir=${path("upper")}`,
    `workdir=${path("work")}`,
  ];
  const mount = { type: "overlay", source: "overlay", target: "", options: [...directories, ...options] };
  try {
    mountAll([mount], path("merged"));
  } catch (error) {
    return {
      reason: `overlay cannot be mounted on ${directory}: ${messageOf(error)}`,
      remedy:
        "load the kernel module overlay, put root_path on a filesystem such as ext4 or xfs, or use snapshotter native",
    };
  }
  try {
    unlinkSync(join(path("merged"), "gone"));
    return checkWhiteout(path("merged"), path("upper"));
  } finally {
    unmount(path("merged"));
  }
}

function checkWhiteout(merged: string, upper: string): Failure | undefined {
  const whiteout = statSync(join(upper, "gone"));
  // Without file types in its directory entries the filesystem shows whiteouts in listings.
  if (whiteout.isCharacterDevice() && whiteout.rdev === 0 && readdirSync(merged).length === 0) return undefined;
  return {
    reason: `deleted files stay visible in an overlay on ${upper}`,
    remedy: "put root_path on a filesystem with d_type; for xfs: mkfs.xfs -n ftype=1",
  };
}

/** The initial user namespace maps all ids to themselves. */
function isInUserNamespace(): boolean {
  const [inside, outside, size] = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/);
  return !(inside === "0" && outside === "0" && size === "4294967295");
}
