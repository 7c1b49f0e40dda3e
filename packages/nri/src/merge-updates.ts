/**
 * What several plugins change in containers that exist.
 *
 * @module
 */
import type { ContainerUpdate, LinuxResources } from "@ctrd/api/nri/v1alpha1/api";
import { failedPrecondition } from "@ctrd/core/errors";
import { claimResources, mergeResources } from "./merge-resources.ts";
import type { Owners } from "./owners.ts";

/** Collects updates of containers. */
export class CollectedUpdates {
  readonly #owners: Owners;
  readonly #updates = new Map<string, ContainerUpdate>();

  constructor(owners: Owners) {
    this.#owners = owners;
  }

  /**
   * Adds what a plugin asks for.
   *
   * @param creating id of a container that is being created and can be adjusted, not updated
   * @throws ContainerdError `failed-precondition` when another plugin has set the same thing
   */
  add(asked: readonly ContainerUpdate[], plugin: string, creating?: string): void {
    for (const { containerId, linux, ignoreFailure } of asked) {
      if (containerId === creating) {
        throw failedPrecondition(`NRI plugin "${plugin}" updates container "${containerId}" while it is created`);
      }
      const resources = linux?.resources;
      if (resources !== undefined) {
        claimResources(resources, (field, key = "") => this.#owners.claim(containerId, field, key, plugin));
      }
      const before = this.#updates.get(containerId);
      const merged = resources === undefined ? undefined : mergeResources(before?.linux?.resources, resources);
      this.#updates.set(containerId, {
        containerId,
        linux: { resources: merged ?? before?.linux?.resources },
        ignoreFailure: ignoreFailure && (before?.ignoreFailure ?? true),
      });
    }
  }

  /** Limits of one container: those that were asked for, over `base`. */
  peek(containerId: string, base: LinuxResources): LinuxResources {
    const resources = this.#updates.get(containerId)?.linux?.resources;
    return resources === undefined ? base : mergeResources(base, resources);
  }

  get updates(): ContainerUpdate[] {
    return [...this.#updates.values()];
  }

  /** Updates of all containers but one. */
  without(containerId: string): ContainerUpdate[] {
    return this.updates.filter((update) => update.containerId !== containerId);
  }
}
