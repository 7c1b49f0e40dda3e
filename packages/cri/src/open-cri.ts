/**
 * Puts the parts of CRI together.
 *
 * @module
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import { failedPrecondition } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { DaemonInfo } from "@ctrd/core/plugin";
import type { SandboxController } from "@ctrd/core/sandboxes";
import type { TaskRuntime } from "@ctrd/core/tasks";
import type { BoundService, NodeResources } from "@ctrd/services";
import { millisOf } from "./config/fields.ts";
import type { RuntimeConfig } from "./config/runtime-config.ts";
import type { StreamingConfig } from "./config/streaming-config.ts";
import { streamingRuntime } from "./containers/streaming-calls.ts";
import { followOomEvents } from "./events/oom-events.ts";
import type { CriImages } from "./images/cri-images.ts";
import type { CriMetrics } from "./metrics.ts";
import { recover } from "./recovery/recover.ts";
import type { CriDirectories } from "./sandboxes/layout.ts";
import { PodNetwork } from "./sandboxes/network.ts";
import { HandlerFeatures } from "./service/handler-features.ts";
import { imageService } from "./service/image-service.ts";
import { runtimeService } from "./service/runtime-service.ts";
import type { SpecEnvironment } from "./spec/index.ts";
import { StatsCollector } from "./stats/index.ts";
import { Cri } from "./store/cri.ts";
import type { StreamingServer } from "./streaming/index.ts";
import { externalAddresses, openStreamingServer, readKeyPair, selfSignedCertificate } from "./streaming/index.ts";

/** What {@link openCri} needs. */
export interface CriOptions {
  /** A client in the namespace of CRI. */
  readonly client: Client;
  readonly config: RuntimeConfig;
  readonly streaming: StreamingConfig;
  readonly specs: SpecEnvironment;
  readonly images: CriImages;
  /** Sandbox controllers by name. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly runtime: TaskRuntime;
  readonly directories: CriDirectories;
  /** State directory of the daemon. */
  readonly daemonState: string;
  readonly daemon: DaemonInfo;
  readonly log: Logger;
  readonly metrics: CriMetrics;
  /** Who adjusts pods and containers, if anybody. */
  readonly nodeResources: NodeResources | undefined;
  snapshotterRoot(snapshotter: string): string;
}

/** CRI, ready to be served. */
export interface OpenedCri {
  readonly runtime: BoundService;
  readonly image: BoundService;
  close(): Promise<void>;
}

/** Takes up what a daemon before this one has left, and opens the services. */
export async function openCri(options: CriOptions): Promise<OpenedCri> {
  const { client, config, streaming, runtime, directories } = options;
  checkHandlers(options);
  const features = new HandlerFeatures(config.containerd.default_runtime_name);
  const network = await PodNetwork.open(config, directories.state, options.metrics);
  const stats = statsCollector(options);
  const cri = new Cri({
    ...options,
    network,
    features,
    stats,
    snapshotterRoot: (name) => options.snapshotterRoot(name),
  });
  for (const [name, { snapshotter }] of Object.entries(config.containerd.runtimes)) {
    if (snapshotter !== "") cri.images.setSnapshotter(name, snapshotter);
  }
  const ctx = cri.background();
  features.detect(ctx, runtime, config);
  await recover(cri, ctx);
  followOomEvents(cri);
  await cri.nri.start();
  stats.start(ctx);
  const streams = await openStreams(cri, streaming);
  cri.open(streams);
  return {
    runtime: runtimeService(cri),
    image: imageService(cri),
    async close() {
      await streams.close();
      client.close();
      await cri.logs.close();
      network.close();
      await stats.close();
    },
  };
}

function checkHandlers({ config, controllers, log }: CriOptions): void {
  const { default_runtime_name: name, runtimes } = config.containerd;
  if (!Object.hasOwn(runtimes, name)) {
    throw failedPrecondition(`containerd.default_runtime_name "${name}" is none of the runtimes; name one of them`);
  }
  for (const [handler, { sandboxer, io_type: ioType }] of Object.entries(runtimes)) {
    if (ioType !== "" && ioType !== "fifo") log.warn({ handler, ioType }, "io_type is not supported, FIFOs are used");
    if (controllers.has(sandboxer)) continue;
    const known = [...controllers.keys()].join(", ");
    throw failedPrecondition(`runtime "${handler}": sandboxer "${sandboxer}" is not known (known: ${known})`);
  }
}

function statsCollector({ client, config, specs, images, daemonState, snapshotterRoot }: CriOptions): StatsCollector {
  return new StatsCollector(
    {
      tasks: client.services.taskService,
      layers: images.usages,
      layerPath: snapshotterRoot,
      spec: async (ctx, id) => (await client.loadContainer(id, { signal: ctx.signal })).spec({ signal: ctx.signal }),
      rootfs: (id) => join(daemonState, "io.containerd.runtime.v2.task", client.namespace, id, "rootfs"),
    },
    {
      cgroup2: specs.host.cgroup2,
      samplePeriodMs: millisOf(config.stats_collect_period, 1_000),
      retentionMs: millisOf(config.stats_retention_period, 120_000),
    },
  );
}

async function openStreams(cri: Cri, config: StreamingConfig): Promise<StreamingServer> {
  const { tls_cert_file: certFile, tls_key_file: keyFile } = config.x509_key_pair_streaming;
  const tls = async (): Promise<{ cert: string; key: string }> =>
    certFile === "" && keyFile === ""
      ? selfSignedCertificate([hostname(), ...externalAddresses(), "localhost", "127.0.0.1"])
      : readKeyPair(certFile, keyFile);
  return openStreamingServer(streamingRuntime(cri), {
    address: config.stream_server_address,
    port: Number(config.stream_server_port),
    ...(config.enable_tls_streaming ? { tls: await tls() } : {}),
    idleTimeoutMs: millisOf(config.stream_idle_timeout, 4 * 3600 * 1000),
    context: cri.background(),
  });
}
