import { parseGoDuration } from "@ctrd/core/durations";
import type { GcScheduler } from "@ctrd/core/gc";
import { GcPlugin } from "@ctrd/core/gc";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { Registration } from "@ctrd/core/plugin";
import type { GcConfig } from "./config.ts";
import { gcConfig } from "./config.ts";
import type { GcSchedule } from "./scheduler.ts";
import { startGcScheduler } from "./scheduler.ts";

const scheduler: Registration<GcScheduler, GcConfig> = {
  type: GcPlugin,
  id: "scheduler",
  requires: [MetadataPlugin],
  config: gcConfig,
  initFn(ic) {
    const running = startGcScheduler(ic.get(MetadataPlugin), scheduleOf(ic.config), ic.log);
    const changeable = ["pause_threshold", "deletion_threshold", "mutation_threshold", "schedule_delay"] as const;
    ic.onReload(changeable, (config) => running.reschedule(scheduleOf(config)));
    ic.onClose(() => running.stop());
    return running;
  },
};

function scheduleOf(config: GcConfig): GcSchedule {
  return {
    pauseThreshold: config.pause_threshold,
    deletionThreshold: config.deletion_threshold,
    mutationThreshold: config.mutation_threshold,
    scheduleDelayMs: parseGoDuration(config.schedule_delay),
    startupDelayMs: parseGoDuration(config.startup_delay),
  };
}

export default scheduler;
