/**
 * The snapshotter: every snapshot is a directory that begins as a copy of its parent. It works on every filesystem;
 * where the filesystem can share blocks between files (btrfs, xfs), copies take no space.
 *
 * This entry needs no daemon:
 *
 * ```js
 * import { createContext } from "@ctrd/core/context";
 * import { openSnapshotter } from "__name__";
 *
 * const snapshotter = openSnapshotter("/var/lib/x");
 * const mounts = await snapshotter.prepare(createContext(), "key", "");
 * ```
 *
 * @module
 */
import { chmodSync } from "node:fs";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";
import { copyDirectory } from "./copy.js";

/**
 * @import { Logger } from "@ctrd/core/log"
 * @import { Snapshotter } from "@ctrd/core/snapshots"
 * @import { SnapshotDriver } from "@ctrd/storage"
 */

/**
 * Opens the snapshotter whose files are in `root`, which is made when it is missing.
 *
 * @ctrd/storage keeps the records (names, kinds, parents, labels, usage), finds its way back after a crash, and has
 * containerd's errors. What is special about this snapshotter is in the driver: how a new directory is filled, and
 * which mounts show it. Where snapshots are not directories, implement `Snapshotter` yourself, over
 * `openSnapshotStore` of the same package.
 *
 * @param {string} root
 * @param {{ log?: Logger }} [options] `log`: for what happens outside calls
 * @returns {Snapshotter}
 */
export function openSnapshotter(root, options = {}) {
  const directories = new SnapshotDirectories(root);
  /** @type {SnapshotDriver} */
  const driver = {
    // A view of a parent shows the parent's directory; every other snapshot has its own.
    hasDirectory: ({ record, parentIds }) => parentIds.length === 0 || record.info.kind !== SnapshotKind.View,

    async fill(ctx, directory, { parentIds }) {
      chmodSync(directory, 0o755);
      const [parent] = parentIds;
      if (parent !== undefined) await copyDirectory(directories.of(parent), directory, ctx.signal);
    },

    mounts({ record, parentIds }) {
      const isView = record.info.kind === SnapshotKind.View;
      const id = isView ? (parentIds[0] ?? record.id) : record.id;
      return [{ type: "bind", source: directories.of(id), target: "", options: ["rbind", isView ? "ro" : "rw"] }];
    },
  };
  return openDirectorySnapshotter(directories, driver, { ...options, syncRemove: true });
}
