/** Changing the limits of a container that exists. */
import type { LinuxContainerResources } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import type { Spec } from "@ctrd/oci";
import { applyOptions } from "@ctrd/oci";
import type { SpecEnvironment } from "./environment.ts";
import { withResources } from "./resources.ts";
import { specContext } from "./spec-context.ts";

/**
 * The spec of container `id` with other limits; those that the request does not name stay. The spec given is not
 * changed. The OOM score is not among what can be changed.
 *
 * @throws ContainerdError `invalid-argument` naming the limit
 */
export async function updatedSpec(
  ctx: CallContext,
  environment: SpecEnvironment,
  container: { id: string; spec: Readonly<Spec> },
  resources: LinuxContainerResources,
): Promise<Spec> {
  const spec = structuredClone(container.spec) as Spec;
  await applyOptions(specContext(ctx, container.id, undefined), spec, [withResources(resources, environment, ctx.log)]);
  return spec;
}
