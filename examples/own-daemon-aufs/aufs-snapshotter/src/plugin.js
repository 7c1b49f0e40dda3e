import { hostPlatform } from "@ctrd/core/platforms";
import { SkipPlugin } from "@ctrd/core/plugin";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { aufsConfig } from "./config.js";
import { openAufsSnapshotter, probe } from "./index.js";

/**
 * @type {import("@ctrd/core/plugin").Registration<
 *   import("@ctrd/core/snapshots").Snapshotter,
 *   import("./config.js").AufsConfig
 * >}
 */
const plugin = {
  type: SnapshotPlugin,
  id: "aufs",
  config: aufsConfig,
  initFn(ic) {
    const lack = probe();
    if (lack !== undefined) throw new SkipPlugin(lack.reason, lack.remedy);
    const root = ic.config.root_path || ic.root;
    const snapshotter = openAufsSnapshotter(root, { mountOptions: ic.config.mount_options, log: ic.log });
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", root);
    ic.meta.platforms.push(hostPlatform());
    return snapshotter;
  },
};
export default plugin;
