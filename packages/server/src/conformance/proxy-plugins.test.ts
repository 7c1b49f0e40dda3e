// Proxy plugins of a composed daemon, over real sockets: the suites of what they stand for.
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import { ContentPlugin } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { pluginRef } from "@ctrd/core/plugin";
import type { PluginType } from "@ctrd/core/plugin";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { ServedSocket } from "@ctrd/services";
import { serveContentStore, serveSnapshotter } from "@ctrd/services";
import { openOverlaySnapshotter, probeOverlay } from "@ctrd/snapshot-overlayfs";
import { contentSuite } from "@ctrd/testkit/content";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { startDaemon } from "../daemon.ts";

/** A daemon that has nothing but one proxy plugin. */
async function openPlugin<T>(
  root: string,
  kind: PluginType<T>,
  server: ServedSocket,
): Promise<{ plugin: T; close(): Promise<void> }> {
  const daemon = await startDaemon({
    plugins: [],
    config: {
      root: join(root, "daemon"),
      state: join(root, "state"),
      proxy_plugins: { mine: { type: kind.name, address: server.path } },
    },
  });
  const plugin = daemon.find(pluginRef<T>(kind, "mine"));
  if (plugin === undefined) throw new Error(JSON.stringify(daemon.plugins));
  return {
    plugin,
    async close() {
      await daemon.stop();
      await server.stop();
    },
  };
}

snapshotterSuite(
  "proxy plugin over overlayfs",
  async (root) => {
    const probe = probeOverlay(join(root, "overlayfs"));
    if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
    const backend = openOverlaySnapshotter(probe.root, { features: probe.features, syncRemove: true });
    const server = await serveSnapshotter(join(root, "s.sock"), backend);
    const { plugin, close } = await openPlugin(root, SnapshotPlugin, server);
    return { snapshotter: plugin, close: () => close().then(() => backend.close()) };
  },
  { rebase: true },
);

contentSuite(
  "proxy plugin over local",
  async (root) => {
    const backend = await openContentStore(join(root, "content"));
    const server = await serveContentStore(join(root, "s.sock"), backend);
    const { plugin, close } = await openPlugin(root, ContentPlugin, server);
    return {
      store: plugin,
      ctx: createContext({ namespace: "testing" }),
      close: () => close().then(() => backend.close()),
    };
  },
  { labels: false, partialTruncate: false },
);
