import { EventPlugin } from "@ctrd/core/events";
import type { AnyRegistration, PluginRef, Registration } from "@ctrd/core/plugin";
import { pluginRef } from "@ctrd/core/plugin";
import type { PullTracker } from "@ctrd/core/pulls";
import { PullsPlugin } from "@ctrd/core/pulls";
import type { GrpcService, MetricsSource } from "@ctrd/services";
import { GrpcPlugin, MetricsPlugin, servePulls } from "@ctrd/services";
import { PullMetrics } from "./metrics.ts";
import { createPullTracker } from "./tracker.ts";

const id = "pulls";
const metricsRef: PluginRef<PullMetrics> = pluginRef(MetricsPlugin, id);

const metrics: Registration<MetricsSource> = { type: MetricsPlugin, id, initFn: () => new PullMetrics() };

const tracker: Registration<PullTracker> = {
  type: PullsPlugin,
  id,
  requires: [EventPlugin, metricsRef],
  initFn: (ic) => createPullTracker({ events: ic.get(EventPlugin), metrics: ic.get(metricsRef) }),
};

const service: Registration<GrpcService> = {
  type: GrpcPlugin,
  id,
  requires: [PullsPlugin],
  initFn: (ic) => ({ services: [servePulls(ic.get(PullsPlugin))] }),
};

const registrations: readonly AnyRegistration[] = [metrics, tracker, service].map(
  (registration) => registration as AnyRegistration,
);
export default registrations;
