/**
 * Where NRI's plugins are asked in the lives of pods and containers.
 *
 * @module
 */
import type { ContainerEviction, ContainerUpdate } from "@ctrd/api/nri/v1alpha1/api";
import type { LinuxContainerResources } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import { withCdiDevices } from "@ctrd/oci";
import type { Spec } from "@ctrd/oci";
import type { ContainerStep, NodeChanges, NodeResources, NodeRuntime, PodStep } from "@ctrd/services";
import type { ContainerMetadata } from "../containers/container-metadata.ts";
import type { Container } from "../containers/container.ts";
import { stopContainer } from "../containers/stop.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { specContext } from "../spec/spec-context.ts";
import type { Cri } from "../store/cri.ts";
import { adjustedSpec } from "./adjusted-spec.ts";
import { nriContainer, nriNewContainer, nriPod } from "./messages.ts";
import { nriRequest, nriResources, withNriResources } from "./resources.ts";

/** Asks NRI's plugins; nobody when there are none. */
export class NodeHooks {
  readonly #cri: Cri;
  readonly #resources: NodeResources | undefined;

  constructor(cri: Cri, resources: NodeResources | undefined) {
    this.#cri = cri;
    this.#resources = resources;
  }

  /** Lets plugins come. */
  async start(): Promise<void> {
    const { daemon } = this.#cri;
    const runtime: NodeRuntime = {
      name: "ctrd",
      version: daemon.version,
      list: () => this.#list(),
      update: (updates) => this.#update(updates),
      evict: (evictions) => this.#evict(evictions),
    };
    await this.#resources?.start(runtime);
  }

  /** A step of a pod. @throws what a plugin answers with */
  async pod(ctx: CallContext, step: PodStep, sandbox: Sandbox): Promise<void> {
    if (this.#watching === undefined) return;
    await this.#watching.pod(ctx, step, nriPod(sandbox));
  }

  /** The limits of a pod change. @returns whether there is a plugin that could do something about it */
  async updatePod(
    ctx: CallContext,
    sandbox: Sandbox,
    limits: { overhead: LinuxContainerResources | undefined; resources: LinuxContainerResources | undefined },
  ): Promise<boolean> {
    if (this.#watching === undefined) return false;
    const asked = { overhead: nriRequest(limits.overhead), resources: nriRequest(limits.resources) };
    await this.#watching.updatePodSandbox(ctx, nriPod(sandbox), asked);
    await this.quietly("after an update of a pod", () => this.pod(ctx, "postUpdatePodSandbox", sandbox));
    return true;
  }

  /** A step of a container. @throws what a plugin answers with */
  async container(ctx: CallContext, step: ContainerStep, container: Container): Promise<void> {
    if (this.#watching === undefined) return;
    const { pod, message } = await this.#describe(ctx, container);
    await this.#watching?.container(ctx, step, pod, message);
  }

  /** A container is about to be created with this spec. @returns the one to create it with */
  async create(
    ctx: CallContext,
    sandbox: Sandbox,
    metadata: Pick<ContainerMetadata, "id" | "sandboxId" | "config">,
    spec: Spec,
  ): Promise<Spec> {
    if (this.#watching === undefined) return spec;
    const asked = await this.#watching.createContainer(ctx, nriPod(sandbox), nriNewContainer(metadata, spec));
    const adjusted = adjustedSpec(spec, asked.adjust);
    const names = asked.adjust.CDIDevices.map(({ name }) => name);
    if (names.length > 0) {
      const option = withCdiDevices(names, this.#cri.config.cdi_spec_dirs);
      await option(specContext(ctx, metadata.id, undefined), adjusted);
    }
    await this.#change(asked);
    return adjusted;
  }

  /** Limits are about to change to those of this spec. @returns the one with what they become */
  async update(ctx: CallContext, container: Container, spec: Spec): Promise<Spec> {
    if (this.#watching === undefined) return spec;
    const { pod, message } = await this.#describe(ctx, container);
    const wanted = nriResources(spec.linux?.resources);
    const asked = await this.#watching.updateContainer(ctx, pod, message, wanted);
    await this.#change(asked);
    if (asked.resources === wanted) return spec;
    // Rules of devices are those of the spec already.
    const change = { ...asked.resources, devices: [] };
    return { ...spec, linux: { ...spec.linux, resources: withNriResources(spec.linux?.resources, change) } };
  }

  /** A container has ended. What plugins say to that cannot keep it. */
  async stopped(ctx: CallContext, container: Container): Promise<void> {
    await this.quietly("stopContainer", async () => {
      if (this.#watching === undefined) return;
      const { pod, message } = await this.#describe(ctx, container);
      await this.#change(await this.#watching.stopContainer(ctx, pod, message));
    });
  }

  /** Runs a step whose failure changes nothing. */
  async quietly(step: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#cri.log.warn({ step, err: messageOf(error) }, "NRI plugins object to what has happened");
    }
  }

  get #watching(): NodeResources | undefined {
    return this.#resources?.isWatched === true ? this.#resources : undefined;
  }

  async #describe(ctx: CallContext, container: Container) {
    const sandbox = this.#cri.sandboxes.get(container.metadata.sandboxId);
    return { pod: nriPod(sandbox), message: nriContainer(container, await this.#specOf(ctx, container)) };
  }

  async #specOf({ signal }: CallContext, { id }: Container): Promise<Spec> {
    const record = await this.#cri.client.loadContainer(id, { signal });
    return record.spec({ signal });
  }

  async #list() {
    const ctx = this.#cri.background();
    const pods = this.#cri.sandboxes.list().filter(({ state }) => state === "ready");
    const containers = await Promise.all(
      this.#cri.containers.list().map(async (container) => {
        try {
          return [nriContainer(container, await this.#specOf(ctx, container))];
        } catch (error) {
          // It is just being removed.
          if (isKind(error, "not-found")) return [];
          throw error;
        }
      }),
    );
    return { pods: pods.map(nriPod), containers: containers.flat() };
  }

  async #change({ update, evict }: NodeChanges): Promise<void> {
    const failed = await this.#update(update);
    for (const { containerId } of failed)
      this.#cri.log.warn({ container: containerId }, "update by NRI plugins failed");
    await this.#evict(evict);
  }

  async #update(updates: readonly ContainerUpdate[]): Promise<ContainerUpdate[]> {
    const failed: ContainerUpdate[] = [];
    for (const update of updates) {
      try {
        await this.#updateOne(update);
      } catch (error) {
        this.#cri.log.debug({ container: update.containerId, err: messageOf(error) }, "update by an NRI plugin failed");
        if (!update.ignoreFailure) failed.push(update);
      }
    }
    return failed;
  }

  async #updateOne({ containerId, linux }: ContainerUpdate): Promise<void> {
    const container = this.#cri.containers.get(containerId);
    const { signal } = this.#cri.background();
    const record = await this.#cri.client.loadContainer(container.id, { signal });
    const spec = await record.spec({ signal });
    if (linux?.resources === undefined) return;
    const resources = withNriResources(spec.linux?.resources, { ...linux.resources, devices: [] });
    await record.setSpec({ ...spec, linux: { ...spec.linux, resources } }, { signal });
    if (container.state === ContainerState.CONTAINER_RUNNING) await container.task?.update({ signal, resources });
  }

  async #evict(evictions: readonly ContainerEviction[]): Promise<void> {
    for (const { containerId, reason } of evictions) {
      await this.quietly("evict", async () => {
        const container = this.#cri.containers.get(containerId);
        this.#cri.log.info({ container: container.id, reason }, "NRI plugins evict a container");
        await stopContainer(this.#cri, this.#cri.background(), container, 0);
      });
    }
  }
}
