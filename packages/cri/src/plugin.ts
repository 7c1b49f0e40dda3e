import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import { PullsPlugin } from "@ctrd/core/pulls";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { PodSandboxPlugin, SandboxControllerPlugin } from "@ctrd/core/sandboxes";
import { RuntimePlugin } from "@ctrd/core/tasks";
import type { GrpcService } from "@ctrd/services";
import { GrpcPlugin, NodeResourcesPlugin } from "@ctrd/services";
import type { ImagesConfig } from "./config/images-config.ts";
import { imagesConfig } from "./config/images-config.ts";
import type { RuntimeConfig } from "./config/runtime-config.ts";
import { runtimeConfig } from "./config/runtime-config.ts";
import type { StreamingConfig } from "./config/streaming-config.ts";
import { streamingConfig } from "./config/streaming-config.ts";
import { deferController, deferred, serveDeferred } from "./deferred.ts";
import { CriMetrics } from "./metrics.ts";
import type { CriImagesOpener, CriRuntime } from "./plugin-types.ts";
import { CriImagesPlugin, CriMetricsPlugin, CriRuntimePlugin } from "./plugin-types.ts";
import { clientServices } from "./required-services.ts";

const runtime: Registration<unknown, RuntimeConfig> = {
  ...CriRuntimePlugin,
  config: runtimeConfig,
  initFn({ config, log }): CriRuntime {
    return { config, specs: deferred(async () => (await import("./spec/index.ts")).openSpecEnvironment(config, log)) };
  },
};

const images: Registration<unknown, ImagesConfig> = {
  ...CriImagesPlugin,
  requires: [...clientServices, optional(PullsPlugin)],
  config: imagesConfig,
  initFn: (ic): CriImagesOpener => ({ images: deferred(async () => (await import("./in-process.ts")).openImages(ic)) }),
};

const podsandbox: Registration<SandboxController> = {
  type: PodSandboxPlugin,
  id: "podsandbox",
  requires: [...clientServices, CriImagesPlugin, CriRuntimePlugin],
  initFn: (ic) => deferController(deferred(async () => (await import("./in-process.ts")).openPodSandbox(ic))),
};

const metrics: Registration<unknown> = { ...CriMetricsPlugin, initFn: () => new CriMetrics() };

const services = [CriMetricsPlugin, CriImagesPlugin, CriRuntimePlugin, PodSandboxPlugin, RuntimePlugin];

const cri: Registration<GrpcService, StreamingConfig> = {
  type: GrpcPlugin,
  id: "cri",
  requires: [...clientServices, ...services, optional(SandboxControllerPlugin), optional(NodeResourcesPlugin)],
  config: streamingConfig,
  initFn: (ic) => ({
    ...serveDeferred(ic, async () => (await import("./in-process.ts")).openService(ic)),
    tcp: !ic.config.disable_tcp_service,
  }),
};

const registrations: readonly AnyRegistration[] = [metrics, runtime, images, podsandbox, cri].map(
  (registration) => registration as AnyRegistration,
);
export default registrations;
