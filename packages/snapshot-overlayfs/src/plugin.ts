import { hostPlatform } from "@ctrd/core/platforms";
import type { Registration } from "@ctrd/core/plugin";
import { SkipPlugin } from "@ctrd/core/plugin";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { overlayConfig } from "./config.ts";
import type { OverlayConfig } from "./config.ts";
import { probeOverlay } from "./probe.ts";
import { openOverlaySnapshotter } from "./snapshotter.ts";

const overlayfs: Registration<Snapshotter, OverlayConfig> = {
  type: SnapshotPlugin,
  id: "overlayfs",
  config: overlayConfig,
  initFn(ic) {
    let { config } = ic;
    const probe = probeOverlay(config.root_path || ic.root);
    if (!probe.supported) throw new SkipPlugin(probe.reason, probe.remedy);
    const snapshotter = openOverlaySnapshotter(probe.root, {
      features: probe.features,
      get upperdirLabel() {
        return config.upperdir_label;
      },
      get syncRemove() {
        return config.sync_remove;
      },
      get syncCommit() {
        return config.sync_commit;
      },
      get mountOptions() {
        return config.mount_options;
      },
      log: ic.log,
    });
    ic.onReload(["upperdir_label", "sync_remove", "sync_commit", "mount_options"], (next) => void (config = next));
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", probe.root);
    ic.meta.platforms.push(hostPlatform());
    if (probe.features.idMapped) ic.meta.capabilities.push("remap-ids");
    if (!config.slow_chown) ic.meta.capabilities.push("only-remap-ids");
    if (!probe.inUserNamespace) ic.meta.capabilities.push("rebase");
    return snapshotter;
  },
};
export default overlayfs;
