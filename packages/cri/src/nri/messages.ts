/**
 * Pods and containers as NRI's plugins see them.
 *
 * @module
 */
import type { LinuxContainer, LinuxNamespace } from "@ctrd/api/nri/v1alpha1/api";
import { Container as NriContainer, ContainerState as NriState, PodSandbox } from "@ctrd/api/nri/v1alpha1/api";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { Spec } from "@ctrd/oci";
import type { ContainerMetadata } from "../containers/container-metadata.ts";
import type { Container } from "../containers/container.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { nriResources } from "./resources.ts";
import type { SpecLinux } from "./spec-types.ts";

/** A pod. */
export function nriPod(sandbox: Sandbox): PodSandbox {
  const { config, runtimeHandler, ip, additionalIps, netnsPath } = sandbox.metadata;
  const { metadata, labels, annotations, linux } = config;
  return PodSandbox.create({
    id: sandbox.id,
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    namespace: metadata?.namespace ?? "",
    labels,
    annotations,
    runtimeHandler,
    pid: sandbox.pid,
    ips: ip === "" ? [] : [ip, ...additionalIps],
    linux: {
      cgroupParent: linux?.cgroupParent ?? "",
      namespaces: netnsPath === "" ? [] : [{ type: "network", path: netnsPath }],
    },
  });
}

/** A container that does not exist yet, from what it will be. */
export function nriNewContainer(
  metadata: Pick<ContainerMetadata, "id" | "sandboxId" | "config">,
  spec: Spec,
): NriContainer {
  const { config } = metadata;
  return NriContainer.create({
    id: metadata.id,
    podSandboxId: metadata.sandboxId,
    name: config.metadata?.name ?? "",
    state: NriState.CONTAINER_UNKNOWN,
    labels: config.labels,
    annotations: new Map(Object.entries(spec.annotations ?? {})),
    args: spec.process?.args ?? [],
    env: spec.process?.env ?? [],
    mounts: (spec.mounts ?? []).map(({ destination, type = "", source = "", options = [] }) => ({
      destination,
      type,
      source,
      options: [...options],
    })),
    hooks: nriHooks(spec),
    rlimits: (spec.process?.rlimits ?? []).map(({ type, hard, soft }) => ({
      type,
      hard: BigInt(hard),
      soft: BigInt(soft),
    })),
    linux: nriLinux(spec),
    user: {
      uid: spec.process?.user.uid ?? 0,
      gid: spec.process?.user.gid ?? 0,
      additionalGids: spec.process?.user.additionalGids ?? [],
    },
    image: { name: config.image?.userSpecifiedImage || (config.image?.image ?? "") },
    CDIDevices: config.CDIDevices,
  });
}

/** A container that exists. */
export function nriContainer({ metadata, status, state }: Container, spec: Spec): NriContainer {
  return {
    ...nriNewContainer(metadata, spec),
    state: states.get(state) ?? NriState.CONTAINER_UNKNOWN,
    pid: status.pid,
    createdAt: status.createdAt,
    startedAt: status.startedAt,
    finishedAt: status.finishedAt,
    exitCode: status.exitCode,
    statusReason: status.reason,
    statusMessage: status.message,
  };
}

const states: ReadonlyMap<ContainerState, NriState> = new Map([
  [ContainerState.CONTAINER_CREATED, NriState.CONTAINER_CREATED],
  [ContainerState.CONTAINER_RUNNING, NriState.CONTAINER_RUNNING],
  [ContainerState.CONTAINER_EXITED, NriState.CONTAINER_STOPPED],
]);

function nriHooks({ hooks = {} }: Spec): NriContainer["hooks"] {
  const list = (name: keyof typeof hooks) =>
    (hooks[name] ?? []).map(({ path, args = [], env = [], timeout }) => ({
      path,
      args: [...args],
      env: [...env],
      timeout: timeout === undefined ? undefined : { value: BigInt(timeout) },
    }));
  return {
    prestart: list("prestart"),
    createRuntime: list("createRuntime"),
    createContainer: list("createContainer"),
    startContainer: list("startContainer"),
    poststart: list("poststart"),
    poststop: list("poststop"),
  };
}

function nriLinux({ linux, process }: Spec): Partial<LinuxContainer> {
  const oomScoreAdj = process?.oomScoreAdj;
  return {
    namespaces: nriNamespaces(linux),
    devices: (linux?.devices ?? []).map(({ path, type, major, minor, fileMode, uid, gid }) => ({
      path,
      type,
      major: BigInt(major ?? 0),
      minor: BigInt(minor ?? 0),
      fileMode: fileMode === undefined ? undefined : { value: fileMode },
      uid: uid === undefined ? undefined : { value: uid },
      gid: gid === undefined ? undefined : { value: gid },
    })),
    resources: nriResources(linux?.resources),
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj: { value: BigInt(oomScoreAdj) } }),
    cgroupsPath: linux?.cgroupsPath ?? "",
    sysctl: new Map(Object.entries(linux?.sysctl ?? {})),
  };
}

function nriNamespaces(linux: SpecLinux | undefined): LinuxNamespace[] {
  return (linux?.namespaces ?? []).map(({ type, path = "" }) => ({ type, path }));
}
