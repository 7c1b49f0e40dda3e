/** Counters of pulls. */
import type { MetricsSource, MetricsWriter } from "@ctrd/services";

/** Upper bounds of the histogram of durations, in seconds. */
const bounds = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

interface Counts {
  running: number;
  complete: number;
  failed: number;
  fetchedBytes: number;
  /** How many took at most as long as each bound, and how long all took. */
  readonly buckets: number[];
  seconds: number;
}

/** Counters of pulls, by who pulls. */
export class PullMetrics implements MetricsSource {
  readonly #clients = new Map<string, Counts>();

  /** A pull begins. @returns what to call when it ends, with whether it is complete */
  begin(client: string): (complete: boolean) => void {
    const counts = this.#of(client);
    const began = performance.now();
    counts.running++;
    return (complete) => {
      const seconds = (performance.now() - began) / 1000;
      counts.running--;
      counts[complete ? "complete" : "failed"]++;
      counts.seconds += seconds;
      for (const [index, bound] of bounds.entries()) {
        if (seconds <= bound) counts.buckets[index] = (counts.buckets[index] ?? 0) + 1;
      }
    };
  }

  /** Bytes have come from a registry. */
  fetched(client: string, bytes: bigint): void {
    if (bytes > 0n) this.#of(client).fetchedBytes += Number(bytes);
  }

  write(writer: MetricsWriter): void {
    const clients = [...this.#clients];
    writer.family("ctrd_pulls_running", "gauge", "Image pulls that run now.");
    for (const [client, { running }] of clients) writer.sample("ctrd_pulls_running", { client }, running);
    writer.family("ctrd_pulls_total", "counter", "Image pulls that have ended.");
    for (const [client, { complete, failed }] of clients) {
      writer.sample("ctrd_pulls_total", { client, result: "complete" }, complete);
      writer.sample("ctrd_pulls_total", { client, result: "failed" }, failed);
    }
    writer.family("ctrd_pull_fetched_bytes_total", "counter", "Bytes that image pulls got from registries.");
    for (const [client, { fetchedBytes }] of clients) {
      writer.sample("ctrd_pull_fetched_bytes_total", { client }, fetchedBytes);
    }
    writer.family("ctrd_pull_duration_seconds", "histogram", "How long image pulls took.");
    for (const [client, counts] of clients) writeDurations(writer, client, counts);
  }

  #of(client: string): Counts {
    const known = this.#clients.get(client);
    if (known !== undefined) return known;
    const fresh = { running: 0, complete: 0, failed: 0, fetchedBytes: 0, buckets: bounds.map(() => 0), seconds: 0 };
    this.#clients.set(client, fresh);
    return fresh;
  }
}

function writeDurations(writer: MetricsWriter, client: string, counts: Counts): void {
  const name = "ctrd_pull_duration_seconds";
  const count = counts.complete + counts.failed;
  for (const [index, bound] of bounds.entries()) {
    writer.sample(`${name}_bucket`, { client, le: String(bound) }, counts.buckets[index] ?? 0);
  }
  writer.sample(`${name}_bucket`, { client, le: "+Inf" }, count);
  writer.sample(`${name}_sum`, { client }, counts.seconds);
  writer.sample(`${name}_count`, { client }, count);
}
