import { ContainerCreate, ContainerDelete, ContainerUpdate } from "@ctrd/api/events/container";
import type { ContainerStore } from "@ctrd/core/containers";
import type { EventPublisher } from "@ctrd/core/events";
import { protoAny } from "@ctrd/core/typeurl";

/** The container store that tells of its changes: `/containers/create`, `/containers/update`, `/containers/delete`. */
export function containersService(store: ContainerStore, events: EventPublisher): ContainerStore {
  return {
    get: (ctx, id) => store.get(ctx, id),
    list: (ctx, filters) => store.list(ctx, filters),
    async create(ctx, container) {
      const created = await store.create(ctx, container);
      const { id, image, runtime } = created;
      const event = ContainerCreate.encode({ id, image, runtime }).finish();
      await events.publish(ctx, "/containers/create", protoAny("containerd.events.ContainerCreate", event));
      return created;
    },
    async update(ctx, container, mask) {
      const updated = await store.update(ctx, container, mask);
      const { id, image, labels, snapshotKey } = updated;
      const event = ContainerUpdate.encode({ id, image, labels, snapshotKey }).finish();
      await events.publish(ctx, "/containers/update", protoAny("containerd.events.ContainerUpdate", event));
      return updated;
    },
    async delete(ctx, id) {
      await store.delete(ctx, id);
      const event = ContainerDelete.encode({ id }).finish();
      await events.publish(ctx, "/containers/delete", protoAny("containerd.events.ContainerDelete", event));
    },
  };
}
