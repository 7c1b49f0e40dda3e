import { ContentDefinition } from "@ctrd/api/services/content/v1/content";
import type { ContentStore } from "@ctrd/core/content";
import { batches, listBatchSize } from "../batches.ts";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";
import { IdleReaders } from "./idle-readers.ts";
import { readContent } from "./read.ts";
import { writeContent } from "./write-session.ts";

/** Serves a content store as containerd's Content service. */
export function serveContent(store: ContentStore): BoundService {
  const readers = new IdleReaders(store);
  return bindService(
    ContentDefinition,
    {
      async info(ctx, request) {
        return { info: await store.info(ctx, request.digest) };
      },
      async update(ctx, request) {
        const info = required(request.info, "info");
        return { info: await store.update(ctx, info, request.updateMask ?? []) };
      },
      async *list(ctx, request) {
        for await (const info of batches(store.list(ctx, request.filters), listBatchSize)) yield { info };
      },
      async delete(ctx, request) {
        await store.delete(ctx, request.digest);
        return {};
      },
      read: (ctx, request) => readContent(readers, ctx, request),
      async status(ctx, request) {
        return { status: await store.status(ctx, request.ref) };
      },
      async listStatuses(ctx, request) {
        return { statuses: await store.listStatuses(ctx, request.filters) };
      },
      write: (ctx, requests) => writeContent(store, ctx, requests),
      async abort(ctx, request) {
        await store.abort(ctx, request.ref);
        return {};
      },
    },
    ["write"],
  );
}
