import { invalidArgument } from "@ctrd/core/errors";
import type { Snapshotter, SnapshotterLookup } from "@ctrd/core/snapshots";

/** Snapshotters by name, with containerd's errors for an empty and an unknown name. */
export function snapshotterLookup(snapshotters: ReadonlyMap<string, Snapshotter>): SnapshotterLookup {
  return {
    get(name) {
      if (name === "") throw invalidArgument("snapshotter argument missing");
      const snapshotter = snapshotters.get(name);
      if (snapshotter === undefined) throw invalidArgument(`snapshotter not loaded: ${name}`);
      return snapshotter;
    },
  };
}

/** One snapshotter under every name: a remote snapshotter does not know how the daemon's configuration calls it. */
export function anySnapshotter(snapshotter: Snapshotter): SnapshotterLookup {
  return { get: () => snapshotter };
}
