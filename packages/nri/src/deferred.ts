/**
 * NRI whose programs are loaded when CRI begins to ask: they are no small part of a daemon's start.
 *
 * @module
 */
import type { Container, LinuxResources, PodSandbox } from "@ctrd/api/nri/v1alpha1/api";
import type { CallContext } from "@ctrd/core/context";
import { unavailable } from "@ctrd/core/errors";
import type { ContainerStep, NodeResources, NodeRuntime, PodStep } from "@ctrd/services";
import type { NriNodeResources } from "./node-resources.ts";

/** Opens {@link NodeResources} when they are started. */
export class DeferredNodeResources implements NodeResources {
  readonly #open: () => Promise<NriNodeResources>;
  #opened: NriNodeResources | undefined;

  constructor(open: () => Promise<NriNodeResources>) {
    this.#open = open;
  }

  async start(runtime: NodeRuntime): Promise<void> {
    this.#opened = await this.#open();
    await this.#opened.start(runtime);
  }

  async close(): Promise<void> {
    await this.#opened?.close();
  }

  get isWatched(): boolean {
    return this.#opened?.isWatched ?? false;
  }

  pod(ctx: CallContext, step: PodStep, pod: PodSandbox): Promise<void> {
    return this.#resources.pod(ctx, step, pod);
  }

  updatePodSandbox(
    ctx: CallContext,
    pod: PodSandbox,
    limits: Parameters<NodeResources["updatePodSandbox"]>[2],
  ): Promise<void> {
    return this.#resources.updatePodSandbox(ctx, pod, limits);
  }

  createContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
  ): ReturnType<NodeResources["createContainer"]> {
    return this.#resources.createContainer(ctx, pod, container);
  }

  container(ctx: CallContext, step: ContainerStep, pod: PodSandbox, container: Container): Promise<void> {
    return this.#resources.container(ctx, step, pod, container);
  }

  updateContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources,
  ): ReturnType<NodeResources["updateContainer"]> {
    return this.#resources.updateContainer(ctx, pod, container, resources);
  }

  stopContainer(ctx: CallContext, pod: PodSandbox, container: Container): ReturnType<NodeResources["stopContainer"]> {
    return this.#resources.stopContainer(ctx, pod, container);
  }

  get #resources(): NriNodeResources {
    if (this.#opened === undefined) throw unavailable("NRI is not started yet");
    return this.#opened;
  }
}
