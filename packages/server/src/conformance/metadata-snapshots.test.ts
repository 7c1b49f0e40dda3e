// The snapshotters behind the metadata store: what clients of the daemon see.
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { openNativeSnapshotter } from "@ctrd/snapshot-native";
import { openOverlaySnapshotter, probeOverlay } from "@ctrd/snapshot-overlayfs";
import type { OpenedSnapshotter } from "@ctrd/testkit/snapshots";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";

/** The metadata store over `backend`, with its files in `root`. */
async function openOver(root: string, backend: Snapshotter): Promise<OpenedSnapshotter> {
  const content = await openContentStore(join(root, "content"));
  const metadata = await openMetadataStore({
    root: join(root, "metadata"),
    content,
    snapshotters: new Map([["backend", backend]]),
  });
  return {
    snapshotter: metadata.snapshotters.get("backend") as Snapshotter,
    async close() {
      await metadata.close();
      await backend.close();
      await content.close();
    },
  };
}

snapshotterSuite(
  "metadata over overlayfs",
  async (root) => {
    const probe = probeOverlay(join(root, "overlayfs"));
    if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
    return openOver(root, openOverlaySnapshotter(probe.root, { features: probe.features, syncRemove: true }));
  },
  { rebase: true },
);

snapshotterSuite("metadata over native", (root) => openOver(root, openNativeSnapshotter(join(root, "native"))));
