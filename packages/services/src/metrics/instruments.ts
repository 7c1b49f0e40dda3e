/**
 * Counters, gauges and histograms for plugins that show metrics.
 *
 * @module
 */
import type { MetricsSource, MetricsWriter } from "../metrics-source.ts";

/** Labels of a sample. Those of one metric have the same names in the same order. */
export type MetricLabels = Readonly<Record<string, string>>;

const none: MetricLabels = {};

/** Values by labels. One without labels is shown before it was ever used, as Prometheus wants it. */
class ByLabels<V> {
  readonly #empty: () => V;
  readonly #values: Map<string, { labels: MetricLabels; value: V }> = new Map();

  constructor(empty: () => V, labelled: boolean) {
    this.#empty = empty;
    if (!labelled) this.of(none);
  }

  of(labels: MetricLabels): { labels: MetricLabels; value: V } {
    const key = labels === none ? "" : Object.values(labels).join("\0");
    let found = this.#values.get(key);
    if (found === undefined) {
      found = { labels, value: this.#empty() };
      this.#values.set(key, found);
    }
    return found;
  }

  all(): Iterable<{ labels: MetricLabels; value: V }> {
    return this.#values.values();
  }
}

/** Options of an instrument. */
export interface InstrumentOptions {
  readonly name: string;
  readonly help: string;
  /** Whether its samples have labels. */
  readonly labelled?: boolean;
}

/** Something that only grows, or with `gauge` also shrinks. */
export class Counter implements MetricsSource {
  readonly #options: InstrumentOptions & { readonly gauge?: boolean };
  readonly #values: ByLabels<number>;

  constructor(options: InstrumentOptions & { readonly gauge?: boolean }) {
    this.#options = options;
    this.#values = new ByLabels(() => 0, options.labelled ?? false);
  }

  add(by = 1, labels: MetricLabels = none): void {
    this.#values.of(labels).value += by;
  }

  write(writer: MetricsWriter): void {
    const { name, help, gauge = false } = this.#options;
    writer.family(name, gauge ? "gauge" : "counter", help);
    for (const { labels, value } of this.#values.all()) writer.sample(name, labels, value);
  }
}

/** Prometheus' usual upper bounds, for seconds. */
export const secondsBounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Distribution {
  /** Values by bucket, the last one without a bound. */
  readonly buckets: number[];
  sum: number;
}

/** How values are distributed. */
export class Histogram implements MetricsSource {
  readonly #options: InstrumentOptions;
  readonly #bounds: readonly number[];
  readonly #values: ByLabels<Distribution>;

  constructor(options: InstrumentOptions & { readonly bounds?: readonly number[] }) {
    this.#options = options;
    const { bounds = secondsBounds, labelled = false } = options;
    this.#bounds = bounds;
    this.#values = new ByLabels(() => ({ buckets: new Array<number>(bounds.length + 1).fill(0), sum: 0 }), labelled);
  }

  observe(amount: number, labels: MetricLabels = none): void {
    const { value } = this.#values.of(labels);
    const index = this.#bounds.findIndex((bound) => amount <= bound);
    const bucket = index < 0 ? this.#bounds.length : index;
    value.buckets[bucket] = (value.buckets[bucket] ?? 0) + 1;
    value.sum += amount;
  }

  write(writer: MetricsWriter): void {
    const { name, help } = this.#options;
    writer.family(name, "histogram", help);
    for (const { labels, value } of this.#values.all()) {
      let total = 0;
      for (const [index, count] of value.buckets.entries()) {
        total += count;
        writer.sample(`${name}_bucket`, { ...labels, le: String(this.#bounds[index] ?? "+Inf") }, total);
      }
      writer.sample(`${name}_sum`, labels, value.sum);
      writer.sample(`${name}_count`, labels, total);
    }
  }
}
