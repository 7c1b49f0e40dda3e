/**
 * A gRPC service of your own on the daemon's socket. It needs no daemon: `serveSummary` works with any stores, for
 * example with those of a daemon elsewhere (`proxyImages`, `proxyContainers` of @ctrd/services).
 *
 * ```js
 * import { openChannel } from "@ctrd/services";
 * import { SummaryDefinition } from "__name__";
 *
 * using channel = openChannel("/run/ctrd/ctrd.sock");
 * const { images, containers } = await channel.client(SummaryDefinition).get(ctx, {});
 * ```
 *
 * @module
 */
import { requireNamespace } from "@ctrd/core/context";
import { bindService } from "@ctrd/services";
import { SummaryDefinition } from "./messages.js";

/**
 * @import { ContainerStore } from "@ctrd/core/containers"
 * @import { ImageStore } from "@ctrd/core/images"
 */

export { SummaryDefinition } from "./messages.js";

/**
 * @param {object} stores
 * @param {ImageStore} stores.images
 * @param {ContainerStore} stores.containers
 * @param {{ imageFilters?: readonly string[] }} [options] `imageFilters`: which images are counted
 */
export function serveSummary({ images, containers }, { imageFilters = [] } = {}) {
  return bindService(SummaryDefinition, {
    async get(ctx) {
      requireNamespace(ctx);
      return {
        images: (await images.list(ctx, imageFilters)).length,
        containers: (await containers.list(ctx, [])).length,
      };
    },
  });
}
