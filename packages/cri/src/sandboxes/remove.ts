/**
 * RemovePodSandbox.
 *
 * @module
 */
import { ContainerEventType } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { removeContainer } from "../containers/remove.ts";
import { publishEvent } from "../events/publish.ts";
import type { Cri } from "../store/cri.ts";
import { unlessGone } from "../store/unless-gone.ts";
import { controllerOf } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";
import { stop } from "./stop.ts";

/** Removes a pod with its containers; what runs is stopped first. */
export function removePodSandbox(cri: Cri, ctx: CallContext, sandbox: Sandbox): Promise<void> {
  return cri.locks.run(sandbox.id, ctx.signal, async () => {
    // Somebody else may have removed it meanwhile.
    if (cri.sandboxes.find(sandbox.id) !== sandbox) return;
    await stop(cri, ctx, sandbox);
    const { leasesService, sandboxStore } = cri.client.services;
    await unlessGone(leasesService.delete(ctx, sandbox.id));
    for (const container of cri.containersOf(sandbox)) await removeContainer(cri, ctx, container);
    await unlessGone(controllerOf(cri, sandbox).shutdown(ctx, sandbox.id));
    await unlessGone(sandboxStore.delete(ctx, sandbox.id));
    await cri.nri.quietly("remove a pod", () => cri.nri.pod(ctx, "removePodSandbox", sandbox));
    cri.specs.selinux.release(sandbox.metadata.processLabel);
    cri.sandboxes.delete(sandbox.id);
    cri.sandboxNames.release(sandbox.id);
    publishEvent(cri, sandbox, ContainerEventType.CONTAINER_DELETED_EVENT);
  });
}
