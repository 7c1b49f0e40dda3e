/** Methods whose answer is a URL. */
import { failedPrecondition } from "@ctrd/core/errors";
import { runningTask } from "../containers/exec.ts";
import type { Cri } from "../store/cri.ts";
import type { RuntimeMethods } from "./methods.ts";

export function streamingMethods(cri: Cri): RuntimeMethods<"exec" | "attach" | "portForward"> {
  return {
    async exec(ctx, request) {
      cri.serving(ctx);
      const container = cri.containers.get(request.containerId);
      runningTask(container);
      return { url: cri.streams.getExec({ ...request, containerId: container.id }) };
    },
    async attach(ctx, request) {
      cri.serving(ctx);
      const container = cri.containers.get(request.containerId);
      runningTask(container);
      return { url: cri.streams.getAttach({ ...request, containerId: container.id }) };
    },
    async portForward(ctx, request) {
      cri.serving(ctx);
      const sandbox = cri.sandboxes.get(request.podSandboxId);
      if (sandbox.state !== "ready") throw failedPrecondition(`pod sandbox "${sandbox.id}" is not ready`);
      return { url: cri.streams.getPortForward({ ...request, podSandboxId: sandbox.id }) };
    },
  };
}
