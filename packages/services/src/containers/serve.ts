import { ContainersDefinition } from "@ctrd/api/services/containers/v1/containers";
import type { ContainerStore } from "@ctrd/core/containers";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a container store as containerd's Containers service. */
export function serveContainers(containers: ContainerStore): BoundService {
  return bindService(ContainersDefinition, {
    async get(ctx, request) {
      return { container: await containers.get(ctx, request.id) };
    },
    async list(ctx, request) {
      return { containers: await containers.list(ctx, request.filters) };
    },
    async *listStream(ctx, request) {
      for (const container of await containers.list(ctx, request.filters)) yield { container };
    },
    async create(ctx, request) {
      return { container: await containers.create(ctx, required(request.container, "container")) };
    },
    async update(ctx, request) {
      const container = required(request.container, "container");
      return { container: await containers.update(ctx, container, request.updateMask ?? []) };
    },
    async delete(ctx, request) {
      await containers.delete(ctx, request.id);
      return {};
    },
  });
}
