import { parseGoDuration } from "@ctrd/core/durations";
import type { GcScheduler } from "@ctrd/core/gc";
import { GcPlugin } from "@ctrd/core/gc";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { Registration } from "@ctrd/core/plugin";
import type { GcConfig } from "./config.ts";
import { gcConfig } from "./config.ts";
import { startGcScheduler } from "./scheduler.ts";

const scheduler: Registration<GcScheduler, GcConfig> = {
  type: GcPlugin,
  id: "scheduler",
  requires: [MetadataPlugin],
  config: gcConfig,
  initFn(ic) {
    const { config } = ic;
    const running = startGcScheduler(
      ic.get(MetadataPlugin),
      {
        pauseThreshold: config.pause_threshold,
        deletionThreshold: config.deletion_threshold,
        mutationThreshold: config.mutation_threshold,
        scheduleDelayMs: parseGoDuration(config.schedule_delay),
        startupDelayMs: parseGoDuration(config.startup_delay),
      },
      ic.log,
    );
    ic.onClose(() => running.stop());
    return running;
  },
};

export default scheduler;
