import { hostPlatform } from "@ctrd/core/platforms";
import { SkipPlugin } from "@ctrd/core/plugin";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { openFuseOverlaySnapshotter, probe } from "./index.js";

/** @type {import("@ctrd/core/plugin").Registration<import("@ctrd/core/snapshots").Snapshotter>} */
const plugin = {
  type: SnapshotPlugin,
  id: "fuse-overlayfs",
  initFn(ic) {
    const lack = probe();
    if (lack !== undefined) throw new SkipPlugin(lack.reason, lack.remedy);
    const snapshotter = openFuseOverlaySnapshotter(ic.root, { log: ic.log });
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", ic.root);
    ic.meta.platforms.push(hostPlatform());
    return snapshotter;
  },
};
export default plugin;
