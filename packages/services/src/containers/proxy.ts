import { ContainersDefinition } from "@ctrd/api/services/containers/v1/containers";
import type { Container, ContainerStore } from "@ctrd/core/containers";
import { isKind } from "@ctrd/core/errors";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The container store behind a Containers service. */
export function proxyContainers(channel: RpcChannel): ContainerStore {
  const client = channel.client(ContainersDefinition);
  return {
    async get(ctx, id) {
      return answered((await client.get(ctx, { id })).container, "a container");
    },
    async list(ctx, filters) {
      const request = { filters: [...filters] };
      const containers: Container[] = [];
      try {
        // A stream: thousands of specs do not fit into one message.
        for await (const { container } of client.listStream(ctx, request)) {
          containers.push(answered(container, "a container"));
        }
        return containers;
      } catch (error) {
        if (!isKind(error, "not-implemented")) throw error;
        return (await client.list(ctx, request)).containers;
      }
    },
    async create(ctx, container) {
      return answered((await client.create(ctx, { container })).container, "a container");
    },
    async update(ctx, container, mask) {
      return answered((await client.update(ctx, { container, updateMask: [...mask] })).container, "a container");
    },
    async delete(ctx, id) {
      await client.delete(ctx, { id });
    },
  };
}
