// Snapshotters behind a Snapshots service on a real socket: what remote clients and proxy plugins see.
import { join } from "node:path";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { anySnapshotter, openChannel, proxySnapshotter, serveOnSocket, serveSnapshots } from "@ctrd/services";
import { openOverlaySnapshotter, probeOverlay } from "@ctrd/snapshot-overlayfs";
import type { OpenedSnapshotter } from "@ctrd/testkit/snapshots";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";

async function overSocket(root: string, backend: Snapshotter): Promise<OpenedSnapshotter> {
  const server = await serveOnSocket(join(root, "snapshots.sock"), [serveSnapshots(anySnapshotter(backend))]);
  const channel = openChannel(server.path);
  return {
    snapshotter: proxySnapshotter(channel, "overlayfs"),
    async close() {
      channel.close();
      await server.stop();
      await backend.close();
    },
  };
}

snapshotterSuite(
  "proxy over overlayfs",
  async (root) => {
    const probe = probeOverlay(join(root, "overlayfs"));
    if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
    return overSocket(root, openOverlaySnapshotter(probe.root, { features: probe.features, syncRemove: true }));
  },
  { rebase: true },
);
