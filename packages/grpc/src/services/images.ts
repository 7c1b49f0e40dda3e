import { ImageCreate, ImageDelete, ImageUpdate } from "@ctrd/api/events/image";
import type { EventPublisher } from "@ctrd/core/events";
import type { GcScheduler } from "@ctrd/core/gc";
import type { DeleteImageOptions, ImageStore } from "@ctrd/core/images";
import type { ImageService } from "@ctrd/core/services";
import { protoAny } from "@ctrd/core/typeurl";

/**
 * The image store that tells of its changes (`/images/create`, `/images/update`, `/images/delete`), and whose delete
 * can wait for a garbage collection.
 */
export function imagesService(store: ImageStore, events: EventPublisher, gc: GcScheduler): ImageService {
  return {
    get: (ctx, name) => store.get(ctx, name),
    list: (ctx, filters) => store.list(ctx, filters),
    async create(ctx, image, sourceDateEpoch) {
      const created = await store.create(ctx, image, sourceDateEpoch);
      const event = ImageCreate.encode({ name: created.name, labels: created.labels }).finish();
      await events.publish(ctx, "/images/create", protoAny("containerd.services.images.v1.ImageCreate", event));
      return created;
    },
    async update(ctx, image, mask, sourceDateEpoch) {
      const updated = await store.update(ctx, image, mask, sourceDateEpoch);
      const event = ImageUpdate.encode({ name: updated.name, labels: updated.labels }).finish();
      await events.publish(ctx, "/images/update", protoAny("containerd.services.images.v1.ImageUpdate", event));
      return updated;
    },
    async delete(ctx, name, options = {}) {
      const { sync = false, target } = options;
      const storeOptions: DeleteImageOptions = target === undefined ? {} : { target };
      await store.delete(ctx, name, storeOptions);
      const event = ImageDelete.encode({ name }).finish();
      await events.publish(ctx, "/images/delete", protoAny("containerd.services.images.v1.ImageDelete", event));
      if (sync) await gc.scheduleAndWait(ctx);
    },
  };
}
