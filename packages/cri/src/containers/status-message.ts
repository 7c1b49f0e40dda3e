/** What CRI tells of containers. */
import type { ContainerConfig, ContainerStatus, Container as ListedContainer } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerState, ImageSpec } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerStatus as ContainerStatusMessage } from "@ctrd/api/cri/runtime/v1/api";
import { splitReferences } from "../images/cri-image.ts";
import type { CriImages } from "../images/cri-images.ts";
import type { Container } from "./container.ts";
import { signalOf } from "./signals.ts";

/** The container as lists show it. */
export function listedContainer(container: Container): ListedContainer {
  const { metadata, status } = container;
  const { config } = metadata;
  // Written out: a list has thousands of them.
  return {
    id: container.id,
    podSandboxId: metadata.sandboxId,
    ...common(config),
    image: config.image,
    imageRef: metadata.imageRef,
    imageId: metadata.imageRef,
    state: container.state,
    createdAt: status.createdAt,
  };
}

/** The status of a container. */
export function containerStatus(container: Container, images: CriImages): ContainerStatus {
  const { metadata, status } = container;
  const { config } = metadata;
  const image = imageOf(container, images);
  return ContainerStatusMessage.fromPartial({
    id: container.id,
    ...common(config),
    state: container.state,
    createdAt: status.createdAt,
    startedAt: status.startedAt,
    finishedAt: status.finishedAt,
    exitCode: status.exitCode,
    image: { ...(config.image ?? ImageSpec.create()), image: image.name },
    imageRef: image.reference,
    imageId: metadata.imageRef,
    reason: reasonOf(container),
    message: status.message,
    mounts: config.mounts,
    logPath: metadata.logPath,
    ...(status.resources === undefined ? {} : { resources: { linux: status.resources } }),
    ...(container.user === undefined ? {} : { user: container.user }),
    stopSignal: signalOf(metadata.stopSignal === "" ? "SIGTERM" : metadata.stopSignal),
  });
}

function common(config: ContainerConfig): Pick<ContainerConfig, "metadata" | "labels" | "annotations"> {
  return { metadata: config.metadata, labels: config.labels, annotations: config.annotations };
}

function reasonOf({ state, status }: Container): string {
  if (state !== ContainerState.CONTAINER_EXITED || status.reason !== "") return status.reason;
  return status.exitCode === 0 ? "Completed" : "Error";
}

/** The image by its first tag and its first digest; an image that is gone by its id. */
function imageOf(
  { metadata: { imageRef, config } }: Container,
  images: CriImages,
): { name: string; reference: string } {
  const image = images.find(imageRef);
  if (image === undefined) return { name: config.image?.image ?? imageRef, reference: imageRef };
  const { tags, digests } = splitReferences(image.references);
  return { name: tags[0] ?? image.id, reference: digests[0] ?? image.id };
}
