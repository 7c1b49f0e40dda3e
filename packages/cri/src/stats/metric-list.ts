/** Metrics of one pod or container. */
import type { Metric } from "@ctrd/api/cri/runtime/v1/api";
import { internal } from "@ctrd/core/errors";
import { metricKinds } from "./metric-descriptors.ts";

/** Collects metrics that share labels and time. */
export class MetricList {
  readonly metrics: Metric[] = [];
  readonly #labels: readonly string[];
  readonly #timestamp: bigint;

  /**
   * @param labels values of the labels that every metric has
   * @param timestamp nanoseconds since the epoch
   */
  constructor(labels: readonly string[], timestamp: bigint) {
    this.#labels = labels;
    this.#timestamp = timestamp;
  }

  /** Adds a metric; `labels` are the values of those that only it has. An absent value adds none. */
  add(name: string, value: bigint | undefined, ...labels: readonly string[]): void {
    const kind = metricKinds.get(name);
    if (kind === undefined || kind.labels.length !== labels.length) throw internal(`metric "${name}" is not like that`);
    if (value === undefined) return;
    this.metrics.push({
      name,
      timestamp: this.#timestamp,
      metricType: kind.type,
      labelValues: [...this.#labels, ...labels],
      value: { value },
    });
  }
}
