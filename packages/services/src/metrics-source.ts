import type { PluginType } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";

/** Writes metrics in Prometheus' data model. */
export interface MetricsWriter {
  /** Begins a metric; its samples follow. */
  family(name: string, type: "counter" | "gauge" | "histogram", help: string): void;
  sample(name: string, labels: Readonly<Record<string, string>>, value: number): void;
}

/** Something with metrics to show. */
export interface MetricsSource {
  /** Gets what has to be asked for; called before each `write`. What it throws is logged, and `write` still called. */
  read?(): Promise<void>;
  /** Writes the current values. Called for every scrape; it must not wait. */
  write(writer: MetricsWriter): void;
}

/** Plugins whose metrics the daemon's metrics server shows. */
export const MetricsPlugin: PluginType<MetricsSource> = pluginType("io.containerd.metrics.v1");

/** Plugins that watch tasks, and have metrics of them. */
export const TaskMonitorPlugin: PluginType<MetricsSource> = pluginType("io.containerd.monitor.task.v1");
