import { OperationsPlugin } from "@ctrd/core/operations";
import type { Logger } from "@ctrd/core/log";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import type { DaemonServer } from "@ctrd/core/services";
import { ServerPlugin } from "@ctrd/core/services";
import { TracerRef } from "@ctrd/core/tracing";
import type { MetricsSource, SocketAddress } from "@ctrd/services";
import { GrpcPlugin, MetricsPlugin, TaskMonitorPlugin, TtrpcPlugin } from "@ctrd/services";

import { createCallMetrics } from "../metrics/call-metrics.ts";
import { callMetricsRef } from "../metrics/plugin-type.ts";
import { readProcess, writeProcess } from "../metrics/process-metrics.ts";
import { prometheusText } from "../metrics/prometheus-text.ts";
import { runtimeMetrics } from "../metrics/runtime-metrics.ts";
import type {
  CallMetricsConfig,
  GrpcServerConfig,
  MetricsServerConfig,
  TcpServerConfig,
  TtrpcServerConfig,
} from "./config.ts";
import {
  callMetricsConfig,
  grpcServerConfig,
  metricsServerConfig,
  tcpServerConfig,
  ttrpcServerConfig,
} from "./config.ts";
import { grpcServer } from "./grpc-server.ts";
import { metricsServer } from "./metrics-server.ts";
import { nameCaller } from "./name-caller.ts";
import { tcpServer } from "./tcp-server.ts";
import { ttrpcServer } from "./ttrpc-server.ts";

const callMetrics: Registration<MetricsSource, CallMetricsConfig> = {
  type: MetricsPlugin,
  id: "grpc-prometheus",
  config: callMetricsConfig,
  initFn(ic) {
    const counters = createCallMetrics(ic.config.grpc_histogram);
    ic.onReload(["grpc_histogram"], (config) => counters.setHistogram(config.grpc_histogram));
    return counters;
  },
};

const grpc: Registration<DaemonServer, GrpcServerConfig> = {
  type: ServerPlugin,
  id: "grpc",
  requires: [GrpcPlugin, optional(MetricsPlugin), optional(OperationsPlugin), optional(TracerRef)],
  config: grpcServerConfig,
  initFn(ic) {
    const services = ic.getAll(GrpcPlugin).flatMap((plugin) => plugin.services);
    const observer = ic.find(callMetricsRef);
    const tracer = ic.find(TracerRef);
    return grpcServer(socketAddress(ic.config.address || ic.daemon.address, ic.config), services, {
      log: ic.log,
      maxReceiveBytes: ic.config.max_recv_message_size,
      maxSendBytes: ic.config.max_send_message_size,
      operations: ic.getAll(OperationsPlugin)[0],
      nameCaller,
      ...(observer === undefined ? {} : { observer }),
      ...(tracer === undefined ? {} : { tracer, logTraceId: ic.daemon.logTraceId ?? false }),
    });
  },
};

const grpcTcp: Registration<DaemonServer, TcpServerConfig> = {
  type: ServerPlugin,
  id: "grpc-tcp",
  requires: [GrpcPlugin, optional(MetricsPlugin), optional(TracerRef)],
  config: tcpServerConfig,
  initFn(ic) {
    const services = ic.getAll(GrpcPlugin).flatMap(({ tcp = false, services: own }) => (tcp ? own : []));
    const observer = ic.find(callMetricsRef);
    const tracer = ic.find(TracerRef);
    return tcpServer(ic.config, services, {
      log: ic.log,
      ...(observer === undefined ? {} : { observer }),
      ...(tracer === undefined ? {} : { tracer, logTraceId: ic.daemon.logTraceId ?? false }),
    });
  },
};

const ttrpc: Registration<DaemonServer, TtrpcServerConfig> = {
  type: ServerPlugin,
  id: "ttrpc",
  requires: [optional(TtrpcPlugin), GrpcPlugin],
  config: ttrpcServerConfig,
  initFn(ic) {
    const services = [...ic.getAll(TtrpcPlugin), ...ic.getAll(GrpcPlugin).flatMap((plugin) => plugin.ttrpc ?? [])];
    return ttrpcServer(socketAddress(ic.config.address || ic.daemon.ttrpcAddress, ic.config), services, ic.log);
  },
};

const metrics: Registration<DaemonServer, MetricsServerConfig> = {
  type: ServerPlugin,
  id: "metrics",
  requires: [optional(MetricsPlugin), optional(TaskMonitorPlugin)],
  config: metricsServerConfig,
  initFn(ic) {
    const runtime = runtimeMetrics();
    ic.onClose(() => runtime.stop());
    const sources = [runtime, ...ic.getAll(MetricsPlugin), ...ic.getAll(TaskMonitorPlugin)];
    const collect = async (): Promise<string> => {
      const [reading] = await Promise.all([readProcess(), ...sources.map((source) => readSource(source, ic.log))]);
      return prometheusText((writer) => {
        writeProcess(writer, reading, ic.daemon);
        for (const source of sources) source.write(writer);
      });
    };
    const server = metricsServer(ic.config.address, collect, ic.log);
    ic.onReload(["address"], (config) => server.move(config.address));
    return server;
  },
};

/** What one source cannot tell does not keep the others from it. */
async function readSource(source: MetricsSource, log: Logger): Promise<void> {
  try {
    await source.read?.();
  } catch (error) {
    log.error({ err: error }, "cannot read metrics");
  }
}

function socketAddress(path: string, owner: { uid: number; gid: number }): SocketAddress {
  return { path, uid: owner.uid, gid: owner.gid };
}

/** The daemon's servers, and the counters of calls. */
export const serverRegistrations: readonly AnyRegistration[] = [callMetrics, grpc, grpcTcp, ttrpc, metrics];
