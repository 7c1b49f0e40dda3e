/** What is stored of a container in its record. */
import { ContainerConfig } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import { jsonAny } from "@ctrd/core/typeurl";
import { goJson } from "../store/go-json.ts";

/** What is known of a container from its making on. */
export interface ContainerMetadata {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  /** Id of its image. */
  readonly imageRef: string;
  /** Absolute; empty when nothing is logged. */
  readonly logPath: string;
  /** Name or number; empty: SIGTERM. */
  readonly stopSignal: string;
  /** SELinux label of its processes; empty without. */
  readonly processLabel: string;
}

/** Name of the extension of a container's record. */
export const containerExtension = "io.cri-containerd.container.metadata";

const typeUrl = "github.com/containerd/cri/pkg/store/container/Metadata";

/** The metadata as records keep it: containerd's JSON, and the configuration once more as it came. */
export function encodeContainerMetadata(metadata: ContainerMetadata): Any {
  return jsonAny(typeUrl, {
    Version: "v1",
    Metadata: {
      ID: metadata.id,
      Name: metadata.name,
      SandboxID: metadata.sandboxId,
      Config: goJson(metadata.config),
      ImageRef: metadata.imageRef,
      LogPath: metadata.logPath,
      StopSignal: metadata.stopSignal,
      ProcessLabel: metadata.processLabel,
    },
    Message: Buffer.from(ContainerConfig.encode(metadata.config).finish()).toString("base64"),
  });
}

interface Stored {
  Metadata: {
    ID: string;
    Name: string;
    SandboxID: string;
    ImageRef: string;
    LogPath: string;
    StopSignal: string;
    ProcessLabel: string;
  };
  Message: string;
}

/** Reads what {@link encodeContainerMetadata} wrote. @throws ContainerdError `invalid-argument` for anything else */
export function decodeContainerMetadata(id: string, any: Any | undefined): ContainerMetadata {
  if (any?.typeUrl !== typeUrl) throw invalidArgument(`container "${id}": its record has no metadata of CRI`);
  const { Metadata: stored, Message: message } = JSON.parse(Buffer.from(any.value).toString()) as Stored;
  return {
    id: stored.ID,
    name: stored.Name,
    sandboxId: stored.SandboxID,
    config: ContainerConfig.decode(Buffer.from(message, "base64")),
    imageRef: stored.ImageRef,
    logPath: stored.LogPath,
    stopSignal: stored.StopSignal,
    processLabel: stored.ProcessLabel,
  };
}
