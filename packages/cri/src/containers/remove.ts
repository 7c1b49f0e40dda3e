/**
 * RemoveContainer.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { ContainerEventType } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { withLease } from "@ctrd/core/context";
import { failedPrecondition, isKind } from "@ctrd/core/errors";
import { publishEvent } from "../events/publish.ts";
import { containerState } from "../sandboxes/layout.ts";
import type { Cri } from "../store/cri.ts";
import type { Container } from "./container.ts";
import { deleteRecord } from "./create.ts";
import { unmountImages } from "./image-mounts.ts";
import { removeRootfs } from "./rootfs.ts";
import { stopContainer } from "./stop.ts";

/** Removes a container; one that runs is stopped by force first. */
export async function removeContainer(cri: Cri, ctx: CallContext, container: Container): Promise<void> {
  await cri.locks.run(container.id, ctx.signal, async () => {
    // Somebody else may have removed it meanwhile.
    if (cri.containers.find(container.id) !== container) return;
    if (container.busy === "starting") {
      throw failedPrecondition(`remove container "${container.id}": it is being started`);
    }
    await stopContainer(cri, ctx, container, 0);
    container.busy = "removing";
    try {
      await remove(cri, ctx, container);
    } finally {
      container.busy = undefined;
    }
  });
}

async function remove(cri: Cri, ctx: CallContext, container: Container): Promise<void> {
  const { id, metadata, snapshotter, root } = container;
  await cri.nri.quietly("remove a container", () => cri.nri.container(ctx, "removeContainer", container));
  await deleteRecord(cri, ctx, id);
  await unleased(ctx, metadata.sandboxId, (leased) => removeRootfs(cri.client, leased, snapshotter, id));
  await unmountImages(cri, ctx, id, metadata.config, snapshotter);
  await Promise.all(
    [root, containerState(cri.directories, id)].map((directory) => rm(directory, { recursive: true, force: true })),
  );
  cri.specs.selinux.release(metadata.processLabel);
  cri.containers.delete(id);
  cri.containerNames.release(id);
  publishEvent(cri, container, ContainerEventType.CONTAINER_DELETED_EVENT);
}

/** Removes something out of the lease of its pod, which may be gone already. */
async function unleased(ctx: CallContext, lease: string, removal: (ctx: CallContext) => Promise<void>): Promise<void> {
  try {
    await removal(withLease(ctx, lease));
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
    await removal(ctx);
  }
}
