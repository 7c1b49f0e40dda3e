/**
 * Snapshots that are mounted by fuse-overlayfs: overlays without the kernel's overlay, for machines whose kernel has
 * none, or whose users may not mount it.
 *
 * @module
 */
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";
import { snapshotMounts } from "./mounts.js";

export { probe } from "./probe.js";

/**
 * Opens the snapshotter whose files are in `root`, which is made when it is missing. Each snapshot has a directory with
 * `fs`, its own files, and `work`, which fuse-overlayfs needs.
 *
 * @param {string} root
 * @param {{ log?: import("@ctrd/core/log").Logger }} [options]
 * @returns {import("@ctrd/core/snapshots").Snapshotter}
 */
export function openFuseOverlaySnapshotter(root, options = {}) {
  const directories = new SnapshotDirectories(root);
  /** @param {string} id */
  const filesOf = (id) => `${directories.of(id)}/fs`;
  /**
   * @param {string} directory
   * @param {import("@ctrd/storage").SnapshotChain} chain
   */
  const fill = (directory, { record, parentIds }) => {
    makeDirectory(`${directory}/fs`, 0o755);
    const [parent] = parentIds;
    if (parent !== undefined) {
      // The root of an overlay is its upper directory.
      const { uid, gid } = statSync(filesOf(parent));
      chownSync(`${directory}/fs`, uid, gid);
    }
    if (record.info.kind === SnapshotKind.Active) makeDirectory(`${directory}/work`, 0o711);
  };
  return openDirectorySnapshotter(
    directories,
    {
      fill: (_ctx, directory, chain) => fill(directory, chain),
      refill: fill,
      mounts: (chain) => snapshotMounts(chain, (id) => directories.of(id)),
      measured: filesOf,
    },
    options,
  );
}

/**
 * @param {string} path
 * @param {number} mode
 */
function makeDirectory(path, mode) {
  mkdirSync(path);
  chmodSync(path, mode); // whatever the umask is
}
