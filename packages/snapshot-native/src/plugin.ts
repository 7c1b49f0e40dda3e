import { hostPlatform } from "@ctrd/core/platforms";
import type { Registration } from "@ctrd/core/plugin";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { nativeConfig } from "./config.ts";
import type { NativeConfig } from "./config.ts";
import { openNativeSnapshotter } from "./snapshotter.ts";

const native: Registration<Snapshotter, NativeConfig> = {
  type: SnapshotPlugin,
  id: "native",
  config: nativeConfig,
  initFn(ic) {
    const root = ic.config.root_path || ic.root;
    const snapshotter = openNativeSnapshotter(root, { log: ic.log });
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", root);
    ic.meta.platforms.push(hostPlatform());
    return snapshotter;
  },
};
export default native;
