import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { openNativeSnapshotter } from "./index.ts";

snapshotterSuite("native", async (root) => {
  const snapshotter = openNativeSnapshotter(root);
  return { snapshotter, close: () => snapshotter.close() };
});
