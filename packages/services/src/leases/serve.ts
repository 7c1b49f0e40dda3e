import { LeasesDefinition } from "@ctrd/api/services/leases/v1/leases";
import type { LeaseManager } from "@ctrd/core/leases";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a lease manager as containerd's Leases service. */
export function serveLeases(leases: LeaseManager): BoundService {
  return bindService(LeasesDefinition, {
    async create(ctx, request) {
      return { lease: await leases.create(ctx, request) };
    },
    async delete(ctx, request) {
      await leases.delete(ctx, request.id, { sync: request.sync });
      return {};
    },
    async list(ctx, request) {
      return { leases: await leases.list(ctx, request.filters) };
    },
    async addResource(ctx, request) {
      await leases.addResource(ctx, request.id, required(request.resource, "resource"));
      return {};
    },
    async deleteResource(ctx, request) {
      await leases.deleteResource(ctx, request.id, required(request.resource, "resource"));
      return {};
    },
    async listResources(ctx, request) {
      return { resources: await leases.listResources(ctx, request.id) };
    },
  });
}
