/**
 * StopPodSandbox.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { stopContainer } from "../containers/stop.ts";
import type { Cri } from "../store/cri.ts";
import { unlessGone } from "../store/unless-gone.ts";
import { hasHostNetwork } from "./pod-files.ts";
import { controllerOf } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

/** Stops a pod with its containers, and takes it off its networks. It may be called again. */
export function stopPodSandbox(cri: Cri, ctx: CallContext, sandbox: Sandbox): Promise<void> {
  return cri.locks.run(sandbox.id, ctx.signal, () => stop(cri, ctx, sandbox));
}

/** As {@link stopPodSandbox}, for who has the lock of the pod. */
export async function stop(cri: Cri, ctx: CallContext, sandbox: Sandbox): Promise<void> {
  const { network } = cri;
  await Promise.all(cri.containersOf(sandbox).map((container) => stopContainer(cri, ctx, container, 0)));
  if (sandbox.state !== "notready") {
    await unlessGone(controllerOf(cri, sandbox).stop(ctx, sandbox.id, 0));
    sandbox.state = "notready";
    sandbox.pid = 0;
    await cri.nri.quietly("stop a pod", () => cri.nri.pod(ctx, "stopPodSandbox", sandbox));
  }
  const { metadata } = sandbox;
  if (hasHostNetwork(metadata.config) || sandbox.isOffNetwork === true) return;
  await network.detach(metadata);
  await network.removeNamespace(metadata.netnsPath);
  sandbox.isOffNetwork = true;
}
