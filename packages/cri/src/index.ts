/**
 * Kubernetes' container runtime interface over ctrd's services.
 *
 * @module
 */
export type { ImagesConfig } from "./config/images-config.ts";
export type { CniConfig, HandlerConfig, RuntimeConfig } from "./config/runtime-config.ts";
export type { StreamingConfig } from "./config/streaming-config.ts";
export { CriImages } from "./images/cri-images.ts";
export { openCriImages } from "./images/open-images.ts";
export type { CriOptions, OpenedCri } from "./open-cri.ts";
export { openCri } from "./open-cri.ts";
export type { CriImagesOpener, CriRuntime } from "./plugin-types.ts";
export { CriImagesPlugin, CriRuntimePlugin } from "./plugin-types.ts";
export type { PauseControllerOptions } from "./sandboxes/pause-controller.ts";
export { PauseController } from "./sandboxes/pause-controller.ts";
export { openSpecEnvironment } from "./spec/index.ts";
