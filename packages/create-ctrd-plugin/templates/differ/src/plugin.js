import { DiffPlugin } from "@ctrd/core/diff";
import { MetadataPlugin } from "@ctrd/core/metadata";
import { hostPlatform } from "@ctrd/core/platforms";
import { config } from "./config.js";
import { openDiffer } from "./index.js";

/**
 * What the daemon loads: a value, made without side effects. Keep it to wiring; the work is in index.js.
 *
 * The daemon asks differs in the order of
 * `[plugins."io.containerd.service.v1.diff-service"] default = ["__id__", "walking"]`.
 *
 * @type {import("@ctrd/core/plugin").Registration<import("@ctrd/core/diff").Differ, import("./config.js").Config>}
 */
const plugin = {
  type: DiffPlugin,
  id: "__id__",
  requires: [MetadataPlugin],
  config,
  async initFn(ic) {
    ic.meta.platforms.push(hostPlatform());
    return openDiffer({
      content: ic.get(MetadataPlugin).content,
      temporary: ic.state,
      maxSize: ic.config.max_layer_size || Infinity,
    });
  },
};

export default plugin;
