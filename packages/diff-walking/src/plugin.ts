import { availableParallelism } from "node:os";
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
    const { workers, max_layer_size: maxSize, max_layer_ratio: maxRatio } = ic.config;
    const differ = await openWalkingDiffer({
      content: ic.get(MetadataPlugin).content,
      temporary: ic.state,
      workers: workers === 0 ? availableParallelism() : workers,
      limits: { maxSize: maxSize === 0 ? Infinity : maxSize, maxRatio: maxRatio === 0 ? Infinity : maxRatio },
    });
    ic.onClose(() => differ.close());
    ic.meta.platforms.push(hostPlatform());
    return differ;
  },
};
export default walking;
