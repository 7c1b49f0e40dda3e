/** Ends of pods: noticed whenever they come. */
import { ContainerEventType } from "@ctrd/api/cri/runtime/v1/api";
import { isKind, messageOf } from "@ctrd/core/errors";
import { publishEvent } from "../events/publish.ts";
import type { Cri } from "../store/cri.ts";
import type { Sandbox } from "./sandbox.ts";

/** Waits for the end of a pod in the background. */
export function watchSandbox(cri: Cri, sandbox: Sandbox): void {
  const ctx = cri.background();
  const waiting = cri.controllers.get(sandbox.sandboxer)?.wait(ctx, sandbox.id) ?? Promise.resolve();
  void waiting.then(
    () => end(cri, sandbox),
    (error: unknown) => {
      if (ctx.signal.aborted) return;
      if (!isKind(error, "not-found"))
        cri.log.warn({ sandbox: sandbox.id, err: messageOf(error) }, "end of a pod not seen");
      end(cri, sandbox);
    },
  );
}

function end(cri: Cri, sandbox: Sandbox): void {
  if (sandbox.state === "notready") return;
  sandbox.state = "notready";
  sandbox.pid = 0;
  publishEvent(cri, sandbox, ContainerEventType.CONTAINER_STOPPED_EVENT);
}
