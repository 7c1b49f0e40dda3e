import { ContainersService, ImagesService } from "@ctrd/core/services";
import { GrpcPlugin } from "@ctrd/services";
import { config } from "./config.js";
import { serveSummary } from "./index.js";

/**
 * What the daemon loads: a value, made without side effects. Keep it to wiring; the work is in index.js.
 *
 * `requires` is all that `initFn` can ask for: those plugins are initialised before, and closed after.
 *
 * @type {import("@ctrd/core/plugin").Registration<
 *   import("@ctrd/services").GrpcService,
 *   import("./config.js").Config
 * >}
 */
const plugin = {
  type: GrpcPlugin,
  id: "__id__",
  requires: [ImagesService, ContainersService],
  config,
  initFn(ic) {
    const stores = { images: ic.get(ImagesService), containers: ic.get(ContainersService) };
    return { services: [serveSummary(stores, { imageFilters: ic.config.image_filters })] };
  },
};

export default plugin;
