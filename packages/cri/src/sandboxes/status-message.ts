/** What CRI tells of pods. */
import type { PodSandbox, PodSandboxStatus } from "@ctrd/api/cri/runtime/v1/api";
import { PodSandboxState } from "@ctrd/api/cri/runtime/v1/api";
import { PodSandboxStatus as PodSandboxStatusMessage } from "@ctrd/api/cri/runtime/v1/api";
import type { Sandbox } from "./sandbox.ts";

/** The pod as lists show it. */
export function listedSandbox(sandbox: Sandbox): PodSandbox {
  const { metadata } = sandbox;
  // Written out: a list has thousands of them.
  return {
    id: sandbox.id,
    metadata: metadata.config.metadata,
    state: stateOf(sandbox),
    createdAt: sandbox.createdAt,
    labels: metadata.config.labels,
    annotations: metadata.config.annotations,
    runtimeHandler: metadata.runtimeHandler,
  };
}

/** The status of a pod. */
export function sandboxStatus(sandbox: Sandbox): PodSandboxStatus {
  const { metadata } = sandbox;
  const options = metadata.config.linux?.securityContext?.namespaceOptions;
  return PodSandboxStatusMessage.fromPartial({
    ...listedSandbox(sandbox),
    network: { ip: metadata.ip, additionalIps: metadata.additionalIps.map((ip) => ({ ip })) },
    linux: { namespaces: { ...(options === undefined ? {} : { options }) } },
  });
}

function stateOf({ state }: Sandbox): PodSandboxState {
  return state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}
