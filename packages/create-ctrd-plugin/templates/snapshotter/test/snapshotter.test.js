import { openChannel, proxySnapshotter, serveSnapshotter } from "@ctrd/services";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { openSnapshotter } from "__name__";

snapshotterSuite("__id__", async (root) => {
  const snapshotter = openSnapshotter(root);
  return { snapshotter, close: () => snapshotter.close() };
});

// As a daemon sees it when it is a process of its own.
snapshotterSuite("__id__ over a socket", async (root) => {
  const snapshotter = openSnapshotter(root);
  const server = await serveSnapshotter(`${root}.sock`, snapshotter);
  const channel = openChannel(server.path);
  const close = async () => {
    channel.close();
    await server.stop();
    await snapshotter.close();
  };
  return { snapshotter: proxySnapshotter(channel, "__id__"), close };
});
