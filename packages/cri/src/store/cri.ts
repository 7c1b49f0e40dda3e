/**
 * What the methods of CRI share.
 *
 * @module
 */
import type { Client } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withNamespace } from "@ctrd/core/context";
import { unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { DaemonInfo } from "@ctrd/core/plugin";
import type { SandboxController } from "@ctrd/core/sandboxes";
import type { NodeResources } from "@ctrd/services";
import type { RuntimeConfig } from "../config/runtime-config.ts";
import type { Container } from "../containers/container.ts";
import { PodEvents } from "../events/pod-events.ts";
import type { CriImages } from "../images/cri-images.ts";
import type { CriMetrics } from "../metrics.ts";
import { LogThread } from "../logs/index.ts";
import { NodeHooks } from "../nri/node-hooks.ts";
import type { CriDirectories } from "../sandboxes/layout.ts";
import type { PodNetwork } from "../sandboxes/network.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { HandlerFeatures } from "../service/handler-features.ts";
import type { SpecEnvironment } from "../spec/index.ts";
import type { StatsCollector } from "../stats/index.ts";
import type { StreamingServer } from "../streaming/index.ts";
import { ContainerRecords } from "./container-records.ts";
import { KeyedLocks } from "./locks.ts";
import { Names } from "./names.ts";
import { Records } from "./records.ts";

/** Namespace of all that CRI makes. */
export const criNamespace = "k8s.io";

/** What {@link Cri} is made of. */
export interface CriParts {
  /** A client in the namespace of CRI. */
  readonly client: Client;
  readonly config: RuntimeConfig;
  readonly images: CriImages;
  /** By name. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly network: PodNetwork;
  readonly specs: SpecEnvironment;
  readonly stats: StatsCollector;
  readonly features: HandlerFeatures;
  readonly directories: CriDirectories;
  readonly daemon: DaemonInfo;
  readonly log: Logger;
  readonly metrics: CriMetrics;
  /** Who adjusts pods and containers, if anybody. */
  readonly nodeResources: NodeResources | undefined;
  /** Directory of a snapshotter. */
  snapshotterRoot(snapshotter: string): string;
}

/** State and services of the CRI plugin. */
export class Cri implements Omit<CriParts, "nodeResources"> {
  readonly client: Client;
  readonly config: RuntimeConfig;
  readonly images: CriImages;
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly network: PodNetwork;
  readonly specs: SpecEnvironment;
  readonly stats: StatsCollector;
  readonly features: HandlerFeatures;
  readonly directories: CriDirectories;
  readonly daemon: DaemonInfo;
  readonly log: Logger;
  readonly metrics: CriMetrics;
  readonly snapshotterRoot: (snapshotter: string) => string;
  readonly events: PodEvents = new PodEvents();
  readonly sandboxes: Records<Sandbox> = new Records("pod sandbox");
  readonly containers: ContainerRecords = new ContainerRecords();
  readonly sandboxNames: Names = new Names("pod sandbox");
  readonly containerNames: Names = new Names("container");
  readonly nri: NodeHooks;
  readonly logs: LogThread;
  readonly locks: KeyedLocks = new KeyedLocks();
  #streams: StreamingServer | undefined;

  constructor(parts: CriParts) {
    this.client = parts.client;
    this.config = parts.config;
    this.images = parts.images;
    this.controllers = parts.controllers;
    this.network = parts.network;
    this.specs = parts.specs;
    this.stats = parts.stats;
    this.features = parts.features;
    this.directories = parts.directories;
    this.daemon = parts.daemon;
    this.log = parts.log;
    this.metrics = parts.metrics;
    this.logs = new LogThread(parts.log);
    this.nri = new NodeHooks(this, parts.nodeResources);
    this.snapshotterRoot = (snapshotter) => parts.snapshotterRoot(snapshotter);
  }

  /** From now on calls are served. */
  open(streams: StreamingServer): void {
    this.#streams = streams;
  }

  /** Where clients of exec, attach and port-forward connect to. */
  get streams(): StreamingServer {
    if (this.#streams === undefined) throw notReady();
    return this.#streams;
  }

  /** The context of a call in the namespace of CRI. @throws ContainerdError `unavailable` before the state is known */
  serving(ctx: CallContext): CallContext {
    if (this.#streams === undefined) throw notReady();
    return withNamespace(ctx, criNamespace);
  }

  /** A context of our own, for what no call waits for. */
  background(): CallContext {
    return createContext({ namespace: criNamespace, log: this.log, signal: this.client.context().signal });
  }

  /** The containers of a pod. */
  containersOf(sandbox: Sandbox): Container[] {
    return this.containers.ofSandbox(sandbox.id);
  }
}

function notReady(): Error {
  return unavailable("server is not initialized yet");
}
