import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { openFuseOverlaySnapshotter } from "fuse-overlayfs-snapshotter";

snapshotterSuite(
  "fuse-overlayfs",
  async (root) => {
    const snapshotter = openFuseOverlaySnapshotter(root);
    return { snapshotter, close: () => snapshotter.close() };
  },
  // fuse-overlayfs counts the names of a file as they are looked up.
  { linkCounts: false },
);
