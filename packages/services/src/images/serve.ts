import { ImagesDefinition } from "@ctrd/api/services/images/v1/images";
import type { ImageService } from "@ctrd/core/services";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves an image store as containerd's Images service. */
export function serveImages(images: ImageService): BoundService {
  return bindService(ImagesDefinition, {
    async get(ctx, request) {
      return { image: await images.get(ctx, request.name) };
    },
    async list(ctx, request) {
      return { images: await images.list(ctx, request.filters) };
    },
    async create(ctx, request) {
      return { image: await images.create(ctx, required(request.image, "image"), request.sourceDateEpoch) };
    },
    async update(ctx, request) {
      const image = required(request.image, "image");
      return { image: await images.update(ctx, image, request.updateMask ?? [], request.sourceDateEpoch) };
    },
    async delete(ctx, request) {
      const { name, sync, target } = request;
      await images.delete(ctx, name, target === undefined ? { sync } : { sync, target });
      return {};
    },
  });
}
