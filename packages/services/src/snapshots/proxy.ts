import { SnapshotsDefinition } from "@ctrd/api/services/snapshots/v1/snapshots";
import type { SnapshotInfo, Snapshotter } from "@ctrd/core/snapshots";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/**
 * The snapshotter `snapshotter` behind a Snapshots service. Closing it leaves the channel open.
 */
export function proxySnapshotter(channel: RpcChannel, snapshotter: string): Snapshotter {
  const client = channel.client(SnapshotsDefinition);
  return {
    async stat(ctx, key) {
      return answered((await client.stat(ctx, { snapshotter, key })).info, "info");
    },
    async update(ctx, info, mask) {
      return answered((await client.update(ctx, { snapshotter, info, updateMask: [...mask] })).info, "info");
    },
    usage: (ctx, key) => client.usage(ctx, { snapshotter, key }),
    async mounts(ctx, key) {
      return (await client.mounts(ctx, { snapshotter, key })).mounts;
    },
    async prepare(ctx, key, parent, options = {}) {
      return (await client.prepare(ctx, { snapshotter, key, parent, labels: options.labels ?? new Map() })).mounts;
    },
    async view(ctx, key, parent, options = {}) {
      return (await client.view(ctx, { snapshotter, key, parent, labels: options.labels ?? new Map() })).mounts;
    },
    async commit(ctx, name, key, options = {}) {
      const { labels = new Map(), parent = "" } = options;
      await client.commit(ctx, { snapshotter, name, key, labels, parent });
    },
    async remove(ctx, key) {
      await client.remove(ctx, { snapshotter, key });
    },
    async *walk(ctx, filters): AsyncGenerator<SnapshotInfo> {
      for await (const message of client.list(ctx, { snapshotter, filters: [...filters] })) yield* message.info;
    },
    async cleanup(ctx) {
      await client.cleanup(ctx, { snapshotter });
    },
    async close() {},
  };
}
