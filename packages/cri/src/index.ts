/**
 * Kubernetes' container runtime interface over ctrd's services.
 *
 * @module
 */
export type { ImagesConfig } from "./config/images-config.ts";
export type { CniConfig, HandlerConfig, RuntimeConfig } from "./config/runtime-config.ts";
export type { StreamingConfig } from "./config/streaming-config.ts";
export { CriImagesPlugin, CriRuntimePlugin, PodSandboxPlugin } from "./plugin-types.ts";
