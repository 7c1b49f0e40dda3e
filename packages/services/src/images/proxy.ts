import { ImagesDefinition } from "@ctrd/api/services/images/v1/images";
import type { ImageService } from "@ctrd/core/services";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The image store behind an Images service. */
export function proxyImages(channel: RpcChannel): ImageService {
  const client = channel.client(ImagesDefinition);
  return {
    async get(ctx, name) {
      return answered((await client.get(ctx, { name })).image, "an image");
    },
    async list(ctx, filters) {
      return (await client.list(ctx, { filters: [...filters] })).images;
    },
    async create(ctx, image, sourceDateEpoch) {
      return answered((await client.create(ctx, { image, sourceDateEpoch })).image, "an image");
    },
    async update(ctx, image, mask, sourceDateEpoch) {
      const answer = await client.update(ctx, { image, updateMask: [...mask], sourceDateEpoch });
      return answered(answer.image, "an image");
    },
    async delete(ctx, name, options = {}) {
      await client.delete(ctx, { name, sync: options.sync ?? false, target: options.target });
    },
  };
}
