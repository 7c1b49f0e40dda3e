import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { openSnapshotter } from "__name__";

snapshotterSuite("__id__", async (root) => {
  const snapshotter = openSnapshotter(root);
  return { snapshotter, close: () => snapshotter.close() };
});
