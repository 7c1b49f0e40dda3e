/** How layers of CRI's images are applied. */
import type { Differ } from "@ctrd/core/diff";
import { failedPrecondition } from "@ctrd/core/errors";
import { isEncryptedLayer } from "@ctrd/images";
import type { ImagesConfig } from "../config/images-config.ts";

/** The differ, with what the configuration says of layers. */
export function layerDiffer(differ: Differ, config: ImagesConfig): Differ {
  return {
    async apply(ctx, layer, mounts, options = {}) {
      if (isEncryptedLayer(layer.mediaType) && config.image_decryption.key_model !== "node") {
        throw failedPrecondition(
          `layer ${layer.digest} is encrypted, and no keys may be used here; set image_decryption.key_model to "node"`,
        );
      }
      const syncFs = options.syncFs === true || config.image_pull_with_sync_fs;
      return differ.apply(ctx, layer, mounts, { ...options, syncFs });
    },
    compare: (...args) => differ.compare(...args),
  };
}
