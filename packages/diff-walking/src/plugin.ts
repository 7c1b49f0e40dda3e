import { availableParallelism } from "node:os";
import type { LayerLimits } from "@ctrd/archive";
import { DiffPlugin } from "@ctrd/core/diff";
import type { Differ } from "@ctrd/core/diff";
import { MetadataPlugin } from "@ctrd/core/metadata";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Registration } from "@ctrd/core/plugin";
import type { WalkingConfig } from "./config.ts";
import { walkingConfig } from "./config.ts";
import { openWalkingDiffer } from "./differ.ts";

const walking: Registration<Differ, WalkingConfig> = {
  type: DiffPlugin,
  id: "walking",
  requires: [MetadataPlugin],
  config: walkingConfig,
  async initFn(ic) {
    const { workers } = ic.config;
    let limits = limitsOf(ic.config);
    ic.onReload(["max_layer_size", "max_layer_ratio"], (config) => void (limits = limitsOf(config)));
    const differ = await openWalkingDiffer({
      content: ic.get(MetadataPlugin).content,
      temporary: ic.state,
      processors: ic.daemon.streamProcessors ?? [],
      workers: workers === 0 ? availableParallelism() : workers,
      get limits() {
        return limits;
      },
    });
    ic.onClose(() => differ.close());
    ic.meta.platforms.push(hostPlatform());
    return differ;
  },
};

/** Zero: no limit. */
function limitsOf({ max_layer_size: maxSize, max_layer_ratio: maxRatio }: WalkingConfig): LayerLimits {
  return { maxSize: maxSize || Infinity, maxRatio: maxRatio || Infinity };
}

export default walking;
