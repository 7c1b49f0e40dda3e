import type { PluginRef } from "@ctrd/core/plugin";
import { pluginRef } from "@ctrd/core/plugin";
import { MetricsPlugin } from "@ctrd/services";
import type { CallMetrics } from "./call-metrics.ts";

/** The counters of gRPC calls. */
export const callMetricsRef: PluginRef<CallMetrics> = pluginRef(MetricsPlugin, "grpc-prometheus");
