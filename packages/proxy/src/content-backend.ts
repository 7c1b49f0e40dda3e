import type { ContentStore } from "@ctrd/core/content";
import { withoutLease } from "@ctrd/core/context";
import type { RpcChannel } from "@ctrd/services";
import { proxyContentStore } from "@ctrd/services";

/**
 * The content store behind a channel, as a backend of the daemon's metadata. Leases stay here: they hold what the
 * metadata has, and a peer that is a daemon itself would miss them among its own. containerd sends it none either.
 */
export function contentBackend(channel: RpcChannel): ContentStore {
  const store = proxyContentStore(channel);
  return {
    info: (ctx, digest) => store.info(withoutLease(ctx), digest),
    update: (ctx, info, mask) => store.update(withoutLease(ctx), info, mask),
    list: (ctx, filters) => store.list(withoutLease(ctx), filters),
    delete: (ctx, digest) => store.delete(withoutLease(ctx), digest),
    status: (ctx, ref) => store.status(withoutLease(ctx), ref),
    listStatuses: (ctx, filters) => store.listStatuses(withoutLease(ctx), filters),
    abort: (ctx, ref) => store.abort(withoutLease(ctx), ref),
    reader: (ctx, digest) => store.reader(withoutLease(ctx), digest),
    async writer(ctx, options) {
      const writer = await store.writer(withoutLease(ctx), options);
      return {
        status: () => writer.status(),
        write: (data) => writer.write(data),
        truncate: (size) => writer.truncate(size),
        digest: () => writer.digest(),
        commit: (commitCtx, commitOptions) => writer.commit(withoutLease(commitCtx), commitOptions),
        close: () => writer.close(),
      };
    },
  };
}
