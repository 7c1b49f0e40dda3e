/**
 * Snapshots that are aufs mounts.
 *
 * @module
 */
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";
import { snapshotMounts } from "./mounts.js";

export { snapshotMounts } from "./mounts.js";
export { probe } from "./probe.js";

/**
 * Opens the snapshotter whose files are in `root`, which is made when it is missing. Each snapshot has one directory:
 * the uppermost branch of its own mount, and a lower branch of its children's.
 *
 * @param {string} root
 * @param {{ mountOptions?: readonly string[], log?: import("@ctrd/core/log").Logger }} [options]
 * @returns {import("@ctrd/core/snapshots").Snapshotter}
 */
export function openAufsSnapshotter(root, options = {}) {
  const directories = new SnapshotDirectories(root);
  /** @param {string} id */
  const filesOf = (id) => `${directories.of(id)}/fs`;
  /**
   * @param {string} directory
   * @param {import("@ctrd/storage").SnapshotChain} chain
   */
  const fill = (directory, { parentIds }) => {
    const files = `${directory}/fs`;
    mkdirSync(files);
    chmodSync(files, 0o755); // whatever the umask is
    const [parent] = parentIds;
    if (parent === undefined) return;
    // The root of the union is that of its uppermost branch.
    const { uid, gid, mode } = statSync(filesOf(parent));
    chownSync(files, uid, gid);
    chmodSync(files, mode & 0o7777);
  };
  return openDirectorySnapshotter(
    directories,
    {
      fill: (_ctx, directory, chain) => fill(directory, chain),
      refill: fill,
      mounts: (chain) => snapshotMounts(chain, filesOf, options.mountOptions ?? []),
      measured: filesOf,
    },
    options,
  );
}
