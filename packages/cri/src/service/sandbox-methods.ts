/** Methods about pods. */
import { notImplemented } from "@ctrd/core/errors";
import { containerStatus } from "../containers/status-message.ts";
import { removePodSandbox } from "../sandboxes/remove.ts";
import { runPodSandbox } from "../sandboxes/run.ts";
import { listedSandbox, sandboxStatus } from "../sandboxes/status-message.ts";
import { stopPodSandbox } from "../sandboxes/stop.ts";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import { batches, selectSandboxes } from "./filters.ts";
import { sandboxList } from "./listed-records.ts";
import type { RuntimeMethods } from "./methods.ts";
import { runtimeType } from "./runtime-type.ts";
import { sandboxInfo } from "./verbose.ts";

type Names =
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "streamPodSandboxes"
  | "updatePodSandboxResources";

export function sandboxMethods(cri: Cri): RuntimeMethods<Names> {
  return {
    async runPodSandbox(ctx, request) {
      const podSandboxId = await cri.metrics.timed(
        "sandbox_runtime_create",
        () => runPodSandbox(cri, cri.serving(ctx), request),
        () => runtimeType(cri, request.runtimeHandler),
      );
      return { podSandboxId };
    },
    async stopPodSandbox(ctx, { podSandboxId }) {
      const serving = cri.serving(ctx);
      const sandbox = cri.sandboxes.find(podSandboxId);
      if (sandbox === undefined) return {};
      const runtime = (): string => runtimeType(cri, sandbox.metadata.runtimeHandler);
      await cri.metrics.timed("sandbox_runtime_stop", () => stopPodSandbox(cri, serving, sandbox), runtime);
      return {};
    },
    async removePodSandbox(ctx, { podSandboxId }) {
      const serving = cri.serving(ctx);
      const sandbox = cri.sandboxes.find(podSandboxId);
      if (sandbox === undefined) return {};
      const runtime = (): string => runtimeType(cri, sandbox.metadata.runtimeHandler);
      await cri.metrics.timed("sandbox_remove", () => removePodSandbox(cri, serving, sandbox), runtime);
      return {};
    },
    async podSandboxStatus(ctx, { podSandboxId, verbose }) {
      const serving = cri.serving(ctx);
      const sandbox = cri.sandboxes.get(podSandboxId);
      const info = verbose ? await sandboxInfo(cri, serving, sandbox) : new Map<string, string>();
      const statuses = cri.containersOf(sandbox).map((container) => containerStatus(container, cri.images));
      return { status: sandboxStatus(sandbox), info, containersStatuses: statuses, timestamp: nowNanos() };
    },
    async listPodSandbox(ctx, { filter }) {
      cri.serving(ctx);
      return cri.metrics.timed("sandbox_list", async () => sandboxList(selectSandboxes(cri, filter)));
    },
    async *streamPodSandboxes(ctx, { filter }) {
      cri.serving(ctx);
      for (const some of batches(selectSandboxes(cri, filter))) yield { podSandboxes: some.map(listedSandbox) };
    },
    async updatePodSandboxResources(ctx, { podSandboxId, overhead, resources }) {
      const serving = cri.serving(ctx);
      const sandbox = cri.sandboxes.get(podSandboxId);
      if (await cri.nri.updatePod(serving, sandbox, { overhead, resources })) return {};
      throw notImplemented("UpdatePodSandboxResources: no NRI plugin manages the resources of pods");
    },
  };
}
