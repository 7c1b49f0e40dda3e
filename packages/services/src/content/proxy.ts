import { ContentDefinition } from "@ctrd/api/services/content/v1/content";
import type { ContentInfo, ContentReader, ContentStore } from "@ctrd/core/content";
import { answered } from "../required.ts";
import type { RpcChannel, RpcClient } from "../rpc/index.ts";
import { openRemoteReader } from "./remote-reader.ts";
import { openRemoteWriter } from "./remote-writer.ts";

type ContentClient = RpcClient<ContentDefinition>;

/** A content store behind a Content service. */
export function proxyContentStore(channel: RpcChannel): ContentStore {
  const client: ContentClient = channel.client(ContentDefinition);
  return {
    async info(ctx, digest) {
      return answered((await client.info(ctx, { digest })).info, "info");
    },
    async update(ctx, info, mask) {
      return answered((await client.update(ctx, { info, updateMask: [...mask] })).info, "info");
    },
    async *list(ctx, filters): AsyncGenerator<ContentInfo> {
      for await (const message of client.list(ctx, { filters: [...filters] })) yield* message.info;
    },
    async delete(ctx, digest) {
      await client.delete(ctx, { digest });
    },
    async status(ctx, ref) {
      return answered((await client.status(ctx, { ref })).status, "status");
    },
    async listStatuses(ctx, filters) {
      return (await client.listStatuses(ctx, { filters: [...filters] })).statuses;
    },
    async abort(ctx, ref) {
      await client.abort(ctx, { ref });
    },
    reader: (ctx, digest): Promise<ContentReader> => openRemoteReader(client, ctx, digest),
    writer: (ctx, options) => openRemoteWriter(client, ctx, options),
  };
}
