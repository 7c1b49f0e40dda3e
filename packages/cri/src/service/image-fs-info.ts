/** ImageFsInfo: what images and containers use of the disk. */
import type { FilesystemUsage, ImageFsInfoResponse } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";

/** Usage of every snapshotter that handlers use. */
export async function imageFileSystems(cri: Cri, ctx: CallContext): Promise<ImageFsInfoResponse> {
  const handlers = Object.keys(cri.config.containerd.runtimes);
  const snapshotters = [
    ...new Set([cri.images.config.snapshotter, ...handlers.map((name) => cri.images.snapshotterOf(name))]),
  ];
  const usages = await Promise.all(snapshotters.map((name) => usageOf(cri, ctx, name)));
  return { imageFilesystems: usages, containerFilesystems: usages };
}

async function usageOf(cri: Cri, ctx: CallContext, snapshotter: string): Promise<FilesystemUsage> {
  const { size, inodes } = await cri.images.usages.total(ctx, snapshotter);
  return {
    timestamp: nowNanos(),
    fsId: { mountpoint: cri.snapshotterRoot(snapshotter) },
    usedBytes: { value: size },
    inodesUsed: { value: inodes },
  };
}
