import type { GcScheduler } from "@ctrd/core/gc";
import type { LeaseManager } from "@ctrd/core/leases";

/** The lease manager of the daemon: a delete with `sync` returns after a collection. */
export function withSyncDelete(leases: LeaseManager, gc: GcScheduler): LeaseManager {
  return {
    create: (ctx, lease) => leases.create(ctx, lease),
    list: (ctx, filters) => leases.list(ctx, filters),
    addResource: (ctx, id, resource) => leases.addResource(ctx, id, resource),
    deleteResource: (ctx, id, resource) => leases.deleteResource(ctx, id, resource),
    listResources: (ctx, id) => leases.listResources(ctx, id),
    async delete(ctx, id, options = {}) {
      await leases.delete(ctx, id);
      if (options.sync === true) await gc.scheduleAndWait(ctx);
    },
  };
}
