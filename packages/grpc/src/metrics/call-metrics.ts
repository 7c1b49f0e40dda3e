import type {
  MethodDefinition,
  MethodShape,
  MetricsSource,
  MetricsWriter,
  RpcObserver,
  ServiceDefinition,
} from "@ctrd/services";
import { codeName } from "./code-names.ts";

/** Upper bounds of the histogram of call durations, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface MethodCounts {
  readonly service: string;
  readonly method: string;
  readonly shape: MethodShape;
  started: number;
  received: number;
  sent: number;
  readonly handled: Map<number, number>;
  /** Calls by bucket, the last one without a bound. */
  readonly buckets: number[];
  seconds: number;
}

/** Counts gRPC calls: an observer of the server, and a source of metrics. */
export interface CallMetrics extends RpcObserver, MetricsSource {
  /** Whether to measure, and show, how long calls take from now on. */
  setHistogram(isOn: boolean): void;
}

/** Makes counters of gRPC calls; with `withHistogram` also of how long they took. */
export function createCallMetrics(withHistogram: boolean): CallMetrics {
  let histogram = withHistogram;
  const counts = new Map<MethodDefinition, MethodCounts>();
  const countsOf = (service: ServiceDefinition, method: MethodDefinition, shape: MethodShape): MethodCounts => {
    let found = counts.get(method);
    if (found === undefined) {
      const empty = {
        started: 0,
        received: 0,
        sent: 0,
        handled: new Map(),
        buckets: new Array(bounds.length + 1).fill(0),
        seconds: 0,
      };
      found = { service: service.fullName, method: method.name, shape, ...empty };
      counts.set(method, found);
    }
    return found;
  };
  return {
    setHistogram(isOn) {
      histogram = isOn;
    },
    started(service, method, shape) {
      countsOf(service, method, shape).started++;
    },
    received(service, method, shape) {
      countsOf(service, method, shape).received++;
    },
    sent(service, method, shape) {
      countsOf(service, method, shape).sent++;
    },
    handled(service, method, shape, code, seconds) {
      const count = countsOf(service, method, shape);
      count.handled.set(code, (count.handled.get(code) ?? 0) + 1);
      if (!histogram) return;
      const index = bounds.findIndex((bound) => seconds <= bound);
      const bucket = index < 0 ? bounds.length : index;
      count.buckets[bucket] = (count.buckets[bucket] ?? 0) + 1;
      count.seconds += seconds;
    },
    write(writer) {
      writeCounts(writer, [...counts.values()]);
      if (histogram) writeHistogram(writer, [...counts.values()]);
    },
  };
}

function labelsOf(count: MethodCounts): Record<string, string> {
  return { grpc_service: count.service, grpc_method: count.method, grpc_type: count.shape };
}

function writeCounts(writer: MetricsWriter, counts: readonly MethodCounts[]): void {
  writer.family("grpc_server_started_total", "counter", "RPCs started on the server.");
  for (const count of counts) writer.sample("grpc_server_started_total", labelsOf(count), count.started);
  writer.family("grpc_server_msg_received_total", "counter", "Messages of RPCs received on the server.");
  for (const count of counts) writer.sample("grpc_server_msg_received_total", labelsOf(count), count.received);
  writer.family("grpc_server_msg_sent_total", "counter", "Messages of RPCs sent by the server.");
  for (const count of counts) writer.sample("grpc_server_msg_sent_total", labelsOf(count), count.sent);
  writer.family("grpc_server_handled_total", "counter", "RPCs completed on the server, by status code.");
  for (const count of counts) {
    for (const [code, value] of count.handled) {
      writer.sample("grpc_server_handled_total", { ...labelsOf(count), grpc_code: codeName(code) }, value);
    }
  }
}

function writeHistogram(writer: MetricsWriter, counts: readonly MethodCounts[]): void {
  const name = "grpc_server_handling_seconds";
  writer.family(name, "histogram", "Duration of RPCs on the server.");
  for (const count of counts) {
    let total = 0;
    count.buckets.forEach((value, index) => {
      total += value;
      writer.sample(`${name}_bucket`, { ...labelsOf(count), le: String(bounds[index] ?? "+Inf") }, total);
    });
    writer.sample(`${name}_sum`, labelsOf(count), count.seconds);
    writer.sample(`${name}_count`, labelsOf(count), total);
  }
}
