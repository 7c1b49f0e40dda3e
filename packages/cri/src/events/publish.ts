/** Makes the events of pods and containers. */
import type { ContainerEventType } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerEventResponse } from "@ctrd/api/cri/runtime/v1/api";
import type { Container } from "../containers/container.ts";
import { containerStatus } from "../containers/status-message.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { sandboxStatus } from "../sandboxes/status-message.ts";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";

/** Tells what has become of a pod or container. */
export function publishEvent(cri: Cri, what: Container | Sandbox, type: ContainerEventType): void {
  const sandbox = "sandboxer" in what ? what : cri.sandboxes.find(what.metadata.sandboxId);
  cri.events.publish(
    ContainerEventResponse.fromPartial({
      containerId: what.id,
      containerEventType: type,
      createdAt: nowNanos(),
      ...(sandbox === undefined
        ? {}
        : {
            podSandboxStatus: sandboxStatus(sandbox),
            containersStatuses: cri.containersOf(sandbox).map((each) => containerStatus(each, cri.images)),
          }),
    }),
  );
}
