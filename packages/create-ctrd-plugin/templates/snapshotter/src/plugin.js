import { hostPlatform } from "@ctrd/core/platforms";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { config } from "./config.js";
import { openSnapshotter } from "./index.js";

/**
 * What the daemon loads: a value, made without side effects. Keep it to wiring; the work is in index.js.
 *
 * @type {import("@ctrd/core/plugin").Registration<
 *   import("@ctrd/core/snapshots").Snapshotter,
 *   import("./config.js").Config
 * >}
 */
const plugin = {
  type: SnapshotPlugin,
  id: "__id__",
  config,
  initFn(ic) {
    const root = ic.config.root_path || ic.root;
    const snapshotter = openSnapshotter(root, { log: ic.log });
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", root);
    ic.meta.platforms.push(hostPlatform());
    return snapshotter;
  },
};

export default plugin;
