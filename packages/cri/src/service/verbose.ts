/** What verbose statuses tell: JSON for people and tools. */
import type { Container } from "../containers/container.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { goJson } from "../store/go-json.ts";
import type { Cri } from "../store/cri.ts";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { handlerConfig } from "../sandboxes/handlers.ts";

/** Details of a pod. */
export async function sandboxInfo(cri: Cri, ctx: CallContext, sandbox: Sandbox): Promise<Map<string, string>> {
  const { metadata } = sandbox;
  const handler = handlerConfig(cri.config, metadata.runtimeHandler);
  const info = {
    pid: sandbox.pid,
    processStatus: sandbox.state === "ready" ? "running" : "deleted",
    netNamespaceClosed: sandbox.isOffNetwork ?? false,
    image: cri.images.config.pinned_images["sandbox"] ?? "",
    snapshotKey: sandbox.id,
    snapshotter: cri.images.snapshotterOf(metadata.runtimeHandler),
    runtimeHandler: metadata.runtimeHandler,
    runtimeType: handler.runtime_type,
    runtimeOptions: handler.options,
    config: goJson(metadata.config),
    runtimeSpec: await specOf(cri, ctx, sandbox.id),
    cniResult: metadata.cniResult ?? null,
    sandboxMetadata: { ID: metadata.id, Name: metadata.name, NetNSPath: metadata.netnsPath, IP: metadata.ip },
  };
  return new Map([["info", JSON.stringify(info)]]);
}

/** Details of a container. */
export async function containerInfo(cri: Cri, ctx: CallContext, container: Container): Promise<Map<string, string>> {
  const { metadata, status } = container;
  const sandbox = cri.sandboxes.find(metadata.sandboxId);
  const handler = handlerConfig(cri.config, sandbox?.metadata.runtimeHandler ?? "");
  const info = {
    sandboxID: metadata.sandboxId,
    pid: status.pid,
    removing: container.busy === "removing",
    snapshotKey: container.id,
    snapshotter: container.snapshotter,
    runtimeType: handler.runtime_type,
    runtimeOptions: handler.options,
    config: goJson(metadata.config),
    runtimeSpec: await specOf(cri, ctx, container.id),
  };
  return new Map([["info", JSON.stringify(info)]]);
}

async function specOf(cri: Cri, ctx: CallContext, id: string): Promise<unknown> {
  try {
    const { spec } = await cri.client.services.containerService.get(ctx, id);
    return spec === undefined ? null : (JSON.parse(Buffer.from(spec.value).toString()) as unknown);
  } catch (error) {
    if (isKind(error, "not-found")) return null;
    throw error;
  }
}
