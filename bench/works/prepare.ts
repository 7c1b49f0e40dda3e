/** 64 snapshot Prepare calls at once over one gRPC connection, on the busybox image's snapshot. */
import { proxySnapshotter } from "@ctrd/services";
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import { timed, type Work } from "../work.ts";

const calls = 64;
let parent = "";
let round = 0;

export const prepareSnapshots: Work = {
  name: "prepare-64",
  unit: "ms",
  target: "<= 0.30",
  async prepare(side, { registry }) {
    const image = await busyboxImage();
    parent = image.layers[0]?.diffId ?? "";
    const reference = await pushImage(registry, "bench/busybox", "1", image);
    await side.ctr("images", "pull", "--plain-http", reference);
  },
  async run(side) {
    const snapshotter = proxySnapshotter(side.channel, "overlayfs");
    const keys = Array.from({ length: calls }, (_, i) => `prepare-${round}-${i}`);
    round++;
    // Without the label a collection in between would take them.
    const labels = new Map([["containerd.io/gc.root", "now"]]);
    const total = await timed(() =>
      Promise.all(keys.map((key) => snapshotter.prepare(side.ctx, key, parent, { labels }))),
    );
    for (const key of keys) await snapshotter.remove(side.ctx, key);
    return total;
  },
};
