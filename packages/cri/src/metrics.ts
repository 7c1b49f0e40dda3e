/**
 * What CRI counts, under containerd's names.
 *
 * @module
 */
import type { MetricsSource, MetricsWriter } from "@ctrd/services";
import { Counter, Histogram } from "@ctrd/services";

/** Calls that are timed: by the runtime of their pod, where they have one. */
const labelled = [
  "sandbox_runtime_create",
  "sandbox_runtime_stop",
  "sandbox_remove",
  "container_create",
  "container_start",
  "container_stop",
  "container_remove",
] as const;
const plain = ["sandbox_list", "container_list", "sandbox_create_network", "sandbox_delete_network"] as const;

export type TimedCall = (typeof labelled)[number] | (typeof plain)[number];

/** Names of network operations, as kubelet's own metrics once had them. */
export type NetworkOperation = "set_up_pod" | "tear_down_pod";

const bytesInMiB = 1024 * 1024;

const timer = (call: string, isLabelled: boolean): [string, Histogram] => [
  call,
  new Histogram({ name: `containerd_cri_${call}_seconds`, help: `Duration of ${call}.`, labelled: isLabelled }),
];

/** Counters and timers of CRI. */
export class CriMetrics implements MetricsSource {
  readonly #timers: ReadonlyMap<string, Histogram> = new Map([
    ...labelled.map((call) => timer(call, true)),
    ...plain.map((call) => timer(call, false)),
  ]);
  // containerd's library adds a unit to names that have one already.
  readonly #operations = new Counter({
    name: "containerd_cri_network_plugin_operations_total_total",
    help: "Network operations, by type.",
    labelled: true,
  });
  readonly #operationErrors = new Counter({
    name: "containerd_cri_network_plugin_operations_errors_total_total",
    help: "Network operations that failed, by type.",
    labelled: true,
  });
  readonly #operationSeconds = new Histogram({
    name: "containerd_cri_network_plugin_operations_duration_seconds_seconds",
    help: "Duration of network operations, by type.",
    labelled: true,
  });
  readonly #pulls = new Counter({
    name: "containerd_cri_sandboxed_image_pulls_total",
    help: "Pulls, by whether they worked.",
    labelled: true,
  });
  readonly #pulling = new Counter({
    name: "containerd_cri_sandboxed_in_progress_image_pulls_total",
    help: "Pulls under way.",
    gauge: true,
  });
  readonly #throughput = new Histogram({
    name: "containerd_cri_sandboxed_image_pulling_throughput",
    help: "Size of images by the time that their pulls took, in MiB/s.",
  });

  /** Times `work`, if it succeeds. @param runtime tells the type of the runtime, once `work` is done */
  async timed<T>(call: TimedCall, work: () => Promise<T>, runtime?: (result: T) => string): Promise<T> {
    const start = performance.now();
    const result = await work();
    const seconds = (performance.now() - start) / 1000;
    this.#timers.get(call)?.observe(seconds, ...(runtime === undefined ? [] : [{ runtime: runtime(result) }]));
    return result;
  }

  /** Counts and times a network operation. */
  async network<T>(operation: NetworkOperation, work: () => Promise<T>): Promise<T> {
    const labels = { operation_type: operation };
    const start = performance.now();
    this.#operations.add(1, labels);
    try {
      return await this.timed(operation === "set_up_pod" ? "sandbox_create_network" : "sandbox_delete_network", work);
    } catch (error) {
      this.#operationErrors.add(1, labels);
      throw error;
    } finally {
      this.#operationSeconds.observe((performance.now() - start) / 1000, labels);
    }
  }

  /** Counts a pull. */
  async pull<T extends { readonly size: bigint }>(work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    this.#pulling.add(1);
    try {
      const image = await work();
      this.#pulls.add(1, { status: "success" });
      this.#throughput.observe(Number(image.size) / bytesInMiB / ((performance.now() - start) / 1000));
      return image;
    } catch (error) {
      this.#pulls.add(1, { status: "failure" });
      throw error;
    } finally {
      this.#pulling.add(-1);
    }
  }

  write(writer: MetricsWriter): void {
    for (const each of this.#timers.values()) each.write(writer);
    for (const each of [this.#operations, this.#operationErrors, this.#operationSeconds]) each.write(writer);
    for (const each of [this.#pulls, this.#pulling, this.#throughput]) each.write(writer);
  }
}
