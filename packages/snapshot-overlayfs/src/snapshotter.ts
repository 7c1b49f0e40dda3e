import type { Logger } from "@ctrd/core/log";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";
import { fillSnapshot, upperOf } from "./directories.ts";
import { extraOptions, snapshotMounts } from "./mount-options.ts";
import type { OverlayFeatures } from "./mount-options.ts";

/** Label that shows a snapshot's upper directory, when asked for. */
export const upperdirLabel = "containerd.io/snapshot/overlay.upperdir";

/** Options of {@link openOverlaySnapshotter}. */
export interface OverlayOptions {
  /** From `probeOverlay`. */
  features: OverlayFeatures;
  /** Add {@link upperdirLabel} to every information. */
  upperdirLabel?: boolean;
  /** Delete a snapshot's directory before `remove` resolves; otherwise `cleanup` does it. */
  syncRemove?: boolean;
  /** Write the file system to its disk before `commit` resolves, so that files outlive a loss of power. */
  syncCommit?: boolean;
  /** Further options of overlay mounts. */
  mountOptions?: readonly string[];
  /** For what happens outside calls. */
  log?: Logger;
}

/**
 * Opens the overlay snapshotter whose files are in `root`, which is created when missing.
 *
 * @throws as `openDurableEnv` for its database, and the errors of creating directories
 */
export function openOverlaySnapshotter(root: string, options: OverlayOptions): Snapshotter {
  const { features } = options;
  const directories = new SnapshotDirectories(root);
  return openDirectorySnapshotter(
    directories,
    {
      fill: (_ctx, directory, chain) => fillSnapshot(directories, directory, chain),
      refill: (directory, chain) => fillSnapshot(directories, directory, chain),
      mounts(chain) {
        return snapshotMounts(directories, chain, extraOptions(options.mountOptions ?? [], features), features);
      },
      measured: (id) => upperOf(directories, id),
      labels: (id) => new Map(options.upperdirLabel === true ? [[upperdirLabel, upperOf(directories, id)]] : []),
    },
    options,
  );
}
