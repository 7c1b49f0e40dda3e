import { ContentPlugin } from "@ctrd/core/content";
import { config } from "./config.js";
import { openStore } from "./index.js";

/**
 * What the daemon loads: a value, made without side effects. Keep it to wiring; the work is in index.js.
 *
 * A daemon has one content store: this one takes the place of the default set's with
 * `disabled_plugins = ["io.containerd.content.v1.content"]`.
 *
 * @type {import("@ctrd/core/plugin").Registration<
 *   import("@ctrd/core/content").ContentStore,
 *   import("./config.js").Config
 * >}
 */
const plugin = {
  type: ContentPlugin,
  id: "__id__",
  config,
  async initFn(ic) {
    const root = ic.config.root_path || ic.root;
    ic.meta.exports.set("root", root);
    return openStore(root);
  },
};

export default plugin;
