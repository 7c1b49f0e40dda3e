import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { openOverlaySnapshotter, probeOverlay } from "./index.ts";

snapshotterSuite(
  "overlayfs",
  async (root) => {
    const probe = probeOverlay(root);
    if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
    const snapshotter = openOverlaySnapshotter(probe.root, { features: probe.features });
    return { snapshotter, close: () => snapshotter.close() };
  },
  { rebase: true },
);
