/** Containers that run out of memory. */
import { TaskOOM } from "@ctrd/api/events/task";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { Cri } from "../store/cri.ts";
import { criNamespace } from "../store/cri.ts";
import { followEvents } from "./follow.ts";

/** Notes which containers the kernel has killed for their memory. */
export function followOomEvents(cri: Cri): void {
  const filter = `namespace==${criNamespace},topic=="/tasks/oom"`;
  followEvents(cri.client, cri.log, filter, async ({ event }) => {
    if (event === undefined) return;
    const container = cri.containers.find(TaskOOM.decode(event.value).containerId);
    if (container === undefined) return;
    container.isOomKilled = true;
    // The event of its end may have been faster.
    if (container.state === ContainerState.CONTAINER_EXITED) await container.update({ reason: "OOMKilled" });
  });
}
