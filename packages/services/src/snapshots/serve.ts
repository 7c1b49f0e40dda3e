import { SnapshotsDefinition } from "@ctrd/api/services/snapshots/v1/snapshots";
import type { CommitSnapshotOptions, SnapshotterLookup } from "@ctrd/core/snapshots";
import { batches, listBatchSize } from "../batches.ts";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves snapshotters as containerd's Snapshots service. Each request names the snapshotter it is for. */
export function serveSnapshots(snapshotters: SnapshotterLookup): BoundService {
  return bindService(SnapshotsDefinition, {
    async prepare(ctx, request) {
      const { snapshotter, key, parent, labels } = request;
      return { mounts: await snapshotters.get(snapshotter).prepare(ctx, key, parent, { labels }) };
    },
    async view(ctx, request) {
      const { snapshotter, key, parent, labels } = request;
      return { mounts: await snapshotters.get(snapshotter).view(ctx, key, parent, { labels }) };
    },
    async mounts(ctx, request) {
      return { mounts: await snapshotters.get(request.snapshotter).mounts(ctx, request.key) };
    },
    async commit(ctx, request) {
      const options: CommitSnapshotOptions = { labels: request.labels };
      if (request.parent !== "") options.parent = request.parent;
      await snapshotters.get(request.snapshotter).commit(ctx, request.name, request.key, options);
      return {};
    },
    async remove(ctx, request) {
      await snapshotters.get(request.snapshotter).remove(ctx, request.key);
      return {};
    },
    async stat(ctx, request) {
      return { info: await snapshotters.get(request.snapshotter).stat(ctx, request.key) };
    },
    async update(ctx, request) {
      const info = required(request.info, "info");
      return { info: await snapshotters.get(request.snapshotter).update(ctx, info, request.updateMask ?? []) };
    },
    async *list(ctx, request) {
      const snapshots = snapshotters.get(request.snapshotter).walk(ctx, request.filters);
      for await (const info of batches(snapshots, listBatchSize)) yield { info };
    },
    usage: async (ctx, request) => snapshotters.get(request.snapshotter).usage(ctx, request.key),
    async cleanup(ctx, request) {
      await snapshotters.get(request.snapshotter).cleanup?.(ctx);
      return {};
    },
  });
}
