/** Ids and names. */
import { randomBytes } from "node:crypto";
import type { ContainerMetadata, PodSandboxMetadata } from "@ctrd/api/cri/runtime/v1/api";

/** A new id: 32 random bytes as hex. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** Name of a pod, unique by what kubelet says of it. */
export function sandboxName({ name, namespace, uid, attempt }: PodSandboxMetadata): string {
  return [name, namespace, uid, attempt].join("_");
}

/** Name of a container of a pod. */
export function containerName(container: ContainerMetadata, pod: PodSandboxMetadata): string {
  return [container.name, pod.name, pod.namespace, pod.uid, container.attempt].join("_");
}
