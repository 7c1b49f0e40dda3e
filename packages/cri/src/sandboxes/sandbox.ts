/**
 * Pods in memory, and what is stored of them.
 *
 * @module
 */
import { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import { jsonAny } from "@ctrd/core/typeurl";
import { goJson } from "../store/go-json.ts";

/** What is known of a pod from its making on. */
export interface SandboxMetadata {
  readonly id: string;
  readonly name: string;
  readonly config: PodSandboxConfig;
  readonly runtimeHandler: string;
  /** Empty with the network of the host. */
  netnsPath: string;
  ip: string;
  additionalIps: readonly string[];
  /** What the network programs answered. */
  cniResult: unknown;
  /** SELinux label of its processes; empty without. */
  processLabel: string;
}

/** `ready` while its pause container or sandbox runs; `unknown` when the daemon could not find out. */
export type SandboxState = "ready" | "notready" | "unknown";

/** A pod. */
export interface Sandbox {
  readonly id: string;
  readonly metadata: SandboxMetadata;
  /** Name of the controller that runs it. */
  readonly sandboxer: string;
  state: SandboxState;
  /** Process whose namespaces containers join; 0 when there is none. */
  pid: number;
  /** Whether it was taken off its networks already. */
  isOffNetwork?: boolean;
  /** Nanoseconds since the epoch. */
  readonly createdAt: bigint;
  /** Where the tasks of its containers are served, when its controller tells; and the version of that API. */
  readonly endpoint: { readonly address: string; readonly version: number };
}

/** Name of the extension of a record in the sandbox store. */
export const sandboxExtension = "metadata";
/** Name of the extension of a pause container's record. */
export const pauseExtension = "io.cri-containerd.sandbox.metadata";

const typeUrl = "github.com/containerd/cri/pkg/store/sandbox/Metadata";

/** The metadata as records keep it: containerd's JSON, and the configuration once more as it came. */
export function encodeSandboxMetadata(metadata: SandboxMetadata): Any {
  return jsonAny(typeUrl, {
    Version: "v1",
    Metadata: {
      ID: metadata.id,
      Name: metadata.name,
      Config: goJson(metadata.config),
      NetNSPath: metadata.netnsPath,
      IP: metadata.ip,
      AdditionalIPs: metadata.additionalIps,
      RuntimeHandler: metadata.runtimeHandler,
      CNIResult: metadata.cniResult ?? null,
      ProcessLabel: metadata.processLabel,
    },
    Message: Buffer.from(PodSandboxConfig.encode(metadata.config).finish()).toString("base64"),
  });
}

interface Stored {
  Metadata: {
    ID: string;
    Name: string;
    NetNSPath: string;
    IP: string;
    AdditionalIPs: string[] | null;
    RuntimeHandler: string;
    CNIResult: unknown;
    ProcessLabel: string;
  };
  Message: string;
}

/** Reads what {@link encodeSandboxMetadata} wrote. @throws ContainerdError `invalid-argument` for anything else */
export function decodeSandboxMetadata(id: string, any: Any | undefined): SandboxMetadata {
  if (any?.typeUrl !== typeUrl) throw invalidArgument(`pod "${id}": its record has no metadata of CRI`);
  const { Metadata: stored, Message: message } = JSON.parse(Buffer.from(any.value).toString()) as Stored;
  return {
    id: stored.ID,
    name: stored.Name,
    config: PodSandboxConfig.decode(Buffer.from(message, "base64")),
    runtimeHandler: stored.RuntimeHandler,
    netnsPath: stored.NetNSPath,
    ip: stored.IP,
    additionalIps: stored.AdditionalIPs ?? [],
    cniResult: stored.CNIResult,
    processLabel: stored.ProcessLabel,
  };
}
