import { NamespaceCreate, NamespaceDelete, NamespaceUpdate } from "@ctrd/api/events/namespace";
import { withNamespace } from "@ctrd/core/context";
import type { EventPublisher } from "@ctrd/core/events";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import { protoAny } from "@ctrd/core/typeurl";

/**
 * The namespace store that tells of its changes: `/namespaces/create`, `/namespaces/update`, `/namespaces/delete`, each
 * in the namespace it is about.
 */
export function namespacesService(store: NamespaceStore, events: EventPublisher): NamespaceStore {
  return {
    get: (ctx, name) => store.get(ctx, name),
    list: (ctx) => store.list(ctx),
    async create(ctx, namespace) {
      const created = await store.create(ctx, namespace);
      const event = protoAny("containerd.events.NamespaceCreate", NamespaceCreate.encode(created).finish());
      await events.publish(withNamespace(ctx, created.name), "/namespaces/create", event);
      return created;
    },
    async update(ctx, namespace, mask) {
      const updated = await store.update(ctx, namespace, mask);
      const event = protoAny("containerd.events.NamespaceUpdate", NamespaceUpdate.encode(updated).finish());
      await events.publish(withNamespace(ctx, updated.name), "/namespaces/update", event);
      return updated;
    },
    async delete(ctx, name) {
      await store.delete(ctx, name);
      const event = protoAny("containerd.events.NamespaceDelete", NamespaceDelete.encode({ name }).finish());
      await events.publish(withNamespace(ctx, name), "/namespaces/delete", event);
    },
  };
}
