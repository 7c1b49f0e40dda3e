import { LeasesDefinition } from "@ctrd/api/services/leases/v1/leases";
import type { LeaseManager } from "@ctrd/core/leases";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The lease manager behind a Leases service. */
export function proxyLeases(channel: RpcChannel): LeaseManager {
  const client = channel.client(LeasesDefinition);
  return {
    async create(ctx, lease) {
      return answered((await client.create(ctx, lease)).lease, "a lease");
    },
    async delete(ctx, id, options = {}) {
      await client.delete(ctx, { id, sync: options.sync ?? false });
    },
    async list(ctx, filters) {
      return (await client.list(ctx, { filters: [...filters] })).leases;
    },
    async addResource(ctx, id, resource) {
      await client.addResource(ctx, { id, resource });
    },
    async deleteResource(ctx, id, resource) {
      await client.deleteResource(ctx, { id, resource });
    },
    async listResources(ctx, id) {
      return (await client.listResources(ctx, { id })).resources;
    },
  };
}
