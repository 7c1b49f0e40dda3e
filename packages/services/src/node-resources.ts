/**
 * The Node Resource Interface as the daemon's parts see it: CRI tells what happens to pods and containers, and the NRI
 * plugin asks those who want to know or to change it.
 *
 * @module
 */
import type {
  Container,
  ContainerAdjustment,
  ContainerEviction,
  ContainerUpdate,
  LinuxResources,
  PodSandbox,
} from "@ctrd/api/nri/v1alpha1/api";
import type { CallContext } from "@ctrd/core/context";
import type { PluginType } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";

/** What a daemon's containers are, to those who adjust them. */
export interface NodeRuntime {
  readonly name: string;
  readonly version: string;
  /** What exists. */
  list(): Promise<{ readonly pods: readonly PodSandbox[]; readonly containers: readonly Container[] }>;
  /** Changes containers. @returns updates that failed, without those whose failure is to be ignored */
  update(updates: readonly ContainerUpdate[]): Promise<readonly ContainerUpdate[]>;
  /** Stops containers for good. */
  evict(evictions: readonly ContainerEviction[]): Promise<void>;
}

/** What is to be changed in other containers because of one. */
export interface NodeChanges {
  readonly update: readonly ContainerUpdate[];
  readonly evict: readonly ContainerEviction[];
}

/** Steps of a pod's life that are told. */
export type PodStep = "runPodSandbox" | "postUpdatePodSandbox" | "stopPodSandbox" | "removePodSandbox";

/** Steps of a container's life that are told. */
export type ContainerStep =
  | "postCreateContainer"
  | "startContainer"
  | "postStartContainer"
  | "postUpdateContainer"
  | "removeContainer";

/** Asks whoever adjusts pods and containers. What they throw fails the step, unless they have gone. */
export interface NodeResources {
  /** Begins to ask; until then nobody is connected. */
  start(runtime: NodeRuntime): Promise<void>;
  /** Whether anybody is asked: what a step would tell need not be put together otherwise. */
  readonly isWatched: boolean;
  pod(ctx: CallContext, step: PodStep, pod: PodSandbox): Promise<void>;
  /** The limits of a pod are about to change. */
  updatePodSandbox(
    ctx: CallContext,
    pod: PodSandbox,
    limits: { readonly overhead?: LinuxResources | undefined; readonly resources?: LinuxResources | undefined },
  ): Promise<void>;
  /** What to change in a container that is about to be created. */
  createContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
  ): Promise<NodeChanges & { readonly adjust: ContainerAdjustment }>;
  container(ctx: CallContext, step: ContainerStep, pod: PodSandbox, container: Container): Promise<void>;
  /** The limits of a container are about to change. @returns what they become, and what else changes */
  updateContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources,
  ): Promise<NodeChanges & { readonly resources: LinuxResources }>;
  stopContainer(ctx: CallContext, pod: PodSandbox, container: Container): Promise<NodeChanges>;
}

/** The plugin that connects NRI's plugins. */
export const NodeResourcesPlugin: PluginType<NodeResources> = pluginType("io.containerd.nri.v1");
