/** UpdateContainerResources. */
import type { LinuxContainerResources, UpdateContainerResourcesRequest } from "@ctrd/api/cri/runtime/v1/api";
import { LinuxContainerResources as ResourcesMessage } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition } from "@ctrd/core/errors";
import { updatedSpec } from "../spec/index.ts";
import type { Cri } from "../store/cri.ts";

/** Changes the limits of a container; those that are not named stay. */
export async function updateResources(
  cri: Cri,
  ctx: CallContext,
  { containerId, linux }: UpdateContainerResourcesRequest,
): Promise<void> {
  const container = cri.containers.get(containerId);
  await cri.locks.run(container.id, ctx.signal, async () => {
    if (container.busy === "removing") throw failedPrecondition(`container "${container.id}" is being removed`);
    if (linux === undefined) return;
    const record = await cri.client.loadContainer(container.id, {
      signal: ctx.signal,
      span: ctx.span,
      operation: ctx.operation,
    });
    const before = await record.spec({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    const wanted = await updatedSpec(ctx, cri.specs, { id: container.id, spec: before }, linux);
    const spec = await cri.nri.update(ctx, container, wanted);
    await record.setSpec(spec, { signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    try {
      await container.task?.update({
        signal: ctx.signal,
        span: ctx.span,
        operation: ctx.operation,
        resources: spec.linux?.resources ?? {},
      });
    } catch (error) {
      await record.setSpec(before);
      throw error;
    }
    await container.update({ resources: mergedResources(container.status.resources, linux) });
    await cri.nri.quietly("after an update", () => cri.nri.container(ctx, "postUpdateContainer", container));
  });
}

/** The limits in force: those of the request, where it names some. */
function mergedResources(
  before: LinuxContainerResources | undefined,
  change: LinuxContainerResources,
): LinuxContainerResources {
  const named = Object.entries(change).filter(([, value]: [string, unknown]) => {
    if (value instanceof Map) return value.size > 0;
    return Array.isArray(value) ? value.length > 0 : value !== 0n && value !== "";
  });
  return { ...ResourcesMessage.create(), ...before, ...Object.fromEntries(named) };
}
