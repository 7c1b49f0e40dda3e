/**
 * OCI specs of pods and containers.
 *
 * ```ts
 * const environment = await openSpecEnvironment(runtimeConfig, log);
 * const sandbox = await sandboxSpec(ctx, environment, { id, config, image, handler, netnsPath, files });
 * const container = await containerSpec(ctx, environment, { id, config, sandboxConfig, sandbox: …, image, … });
 * ```
 *
 * @module
 */
export { containerSpec } from "./container-spec.ts";
export type { SpecEnvironment, SpecSettings } from "./environment.ts";
export { openSpecEnvironment } from "./environment.ts";
export type { HostFeatures } from "./host-features.ts";
export type {
  ContainerSpec,
  ContainerSpecInput,
  ImageVolume,
  LabelledSpec,
  SandboxFiles,
  SandboxSpecInput,
  SpecHandler,
  WithRootfs,
} from "./input.ts";
export { userMappings } from "./namespaces.ts";
export { sandboxSpec } from "./sandbox-spec.ts";
export { updatedSpec } from "./update.ts";
