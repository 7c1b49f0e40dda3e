/**
 * What CRI asks, asked of all plugins.
 *
 * @module
 */
import type {
  Container,
  ContainerAdjustment,
  ContainerEviction,
  LinuxResources,
  PodSandbox,
} from "@ctrd/api/nri/v1alpha1/api";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition } from "@ctrd/core/errors";
import type { ContainerStep, NodeChanges, NodeResources, NodeRuntime, PodStep } from "@ctrd/services";
import { CollectedAdjustments } from "./merge-adjustments.ts";
import { CollectedUpdates } from "./merge-updates.ts";
import { Owners } from "./owners.ts";
import type { PluginConnection } from "./plugin-connection.ts";
import type { NriOptions } from "./plugin-set.ts";
import { PluginSet } from "./plugin-set.ts";

/** {@link NodeResources} over NRI's plugins. */
export class NriNodeResources implements NodeResources {
  readonly #plugins: PluginSet;

  constructor(options: NriOptions) {
    this.#plugins = new PluginSet(options);
  }

  start(runtime: NodeRuntime): Promise<void> {
    return this.#plugins.start(runtime);
  }

  close(): Promise<void> {
    return this.#plugins.close();
  }

  get isWatched(): boolean {
    return this.#plugins.size > 0;
  }

  async pod(ctx: CallContext, step: PodStep, pod: PodSandbox): Promise<void> {
    await this.#plugins.step(ctx, async (plugins) => {
      for (const plugin of plugins) await plugin.ask(ctx, step, { pod });
    });
  }

  async updatePodSandbox(
    ctx: CallContext,
    pod: PodSandbox,
    limits: { overhead?: LinuxResources | undefined; resources?: LinuxResources | undefined },
  ): Promise<void> {
    const request = { pod, overheadLinuxResources: limits.overhead, linuxResources: limits.resources };
    await this.#plugins.step(ctx, async (plugins) => {
      for (const plugin of plugins) await plugin.ask(ctx, "updatePodSandbox", request);
    });
  }

  createContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
  ): Promise<NodeChanges & { adjust: ContainerAdjustment }> {
    return this.#plugins.step(ctx, async (plugins) => {
      const owners = new Owners();
      const adjustments = new CollectedAdjustments(container, owners);
      const updates = new CollectedUpdates(owners);
      const evict: ContainerEviction[] = [];
      for (const plugin of plugins) {
        const answer = await plugin.ask(ctx, "createContainer", { pod, container: adjustments.container });
        if (answer?.adjust !== undefined) adjustments.add(answer.adjust, plugin.name);
        updates.add(answer?.update ?? [], plugin.name, container.id);
        evict.push(...(answer?.evict ?? []));
      }
      const { adjust } = adjustments;
      const found = { adjust, update: updates.updates, evict };
      await validate(ctx, plugins, { pod, container, adjust, update: found.update, owners: owners.message() });
      return found;
    });
  }

  async container(ctx: CallContext, step: ContainerStep, pod: PodSandbox, container: Container): Promise<void> {
    await this.#plugins.step(ctx, async (plugins) => {
      for (const plugin of plugins) await plugin.ask(ctx, step, { pod, container });
    });
  }

  updateContainer(
    ctx: CallContext,
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources,
  ): Promise<NodeChanges & { resources: LinuxResources }> {
    return this.#plugins.step(ctx, async (plugins) => {
      const updates = new CollectedUpdates(new Owners());
      const evict: ContainerEviction[] = [];
      for (const plugin of plugins) {
        const request = { pod, container, linuxResources: updates.peek(container.id, resources) };
        const answer = await plugin.ask(ctx, "updateContainer", request);
        updates.add(answer?.update ?? [], plugin.name);
        evict.push(...(answer?.evict ?? []));
      }
      const changed = updates.peek(container.id, resources);
      return { resources: changed, update: updates.without(container.id), evict };
    });
  }

  stopContainer(ctx: CallContext, pod: PodSandbox, container: Container): Promise<NodeChanges> {
    return this.#plugins.step(ctx, async (plugins) => {
      const updates = new CollectedUpdates(new Owners());
      for (const plugin of plugins) {
        const answer = await plugin.ask(ctx, "stopContainer", { pod, container });
        updates.add(answer?.update ?? [], plugin.name);
      }
      // What is being stopped is not updated.
      return { update: updates.without(container.id), evict: [] };
    });
  }
}

type Validation = Omit<Parameters<typeof askValidator>[2], "plugins">;

/** Lets validators see what all plugins together have done. @throws when one rejects it */
async function validate(ctx: CallContext, plugins: readonly PluginConnection[], validation: Validation): Promise<void> {
  const request = { ...validation, plugins: plugins.map(({ identity }) => identity) };
  for (const plugin of plugins) await askValidator(ctx, plugin, request);
}

async function askValidator(
  ctx: CallContext,
  plugin: PluginConnection,
  request: Parameters<typeof plugin.ask<"validateContainerAdjustment">>[2],
): Promise<void> {
  const answer = await plugin.ask(ctx, "validateContainerAdjustment", request);
  if (answer?.reject !== true) return;
  throw failedPrecondition(
    `NRI validator "${plugin.name}" rejects container "${request.container?.id ?? ""}": ${answer.reason}`,
  );
}
