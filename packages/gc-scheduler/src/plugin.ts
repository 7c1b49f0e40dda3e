import { parseGoDuration } from "@ctrd/core/durations";
import type { GcScheduler } from "@ctrd/core/gc";
import { GcPlugin } from "@ctrd/core/gc";
import { MetadataPlugin } from "@ctrd/core/metadata";
import { OperationsPlugin } from "@ctrd/core/operations";
import type { AnyRegistration, PluginRef, Registration } from "@ctrd/core/plugin";
import { optional, pluginRef } from "@ctrd/core/plugin";
import { MetricsPlugin } from "@ctrd/services";
import type { GcConfig } from "./config.ts";
import { gcConfig } from "./config.ts";
import { GcMetrics } from "./metrics.ts";
import type { GcSchedule } from "./scheduler.ts";
import { startGcScheduler } from "./scheduler.ts";

const metricsRef: PluginRef<GcMetrics> = pluginRef(MetricsPlugin, "gc");

const metrics: Registration<GcMetrics> = { type: metricsRef.type, id: metricsRef.id, initFn: () => new GcMetrics() };

const scheduler: Registration<GcScheduler, GcConfig> = {
  type: GcPlugin,
  id: "scheduler",
  requires: [MetadataPlugin, metricsRef, optional(OperationsPlugin)],
  config: gcConfig,
  initFn(ic) {
    const running = startGcScheduler(
      ic.get(metricsRef).counting(ic.get(MetadataPlugin)),
      scheduleOf(ic.config),
      ic.log,
      ic.getAll(OperationsPlugin)[0],
    );
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

const registrations: readonly AnyRegistration[] = [metrics, scheduler as AnyRegistration];
export default registrations;
