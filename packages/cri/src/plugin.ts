import { dirname } from "node:path";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { SandboxControllerPlugin } from "@ctrd/core/sandboxes";
import { RuntimePlugin } from "@ctrd/core/tasks";
import type { GrpcService } from "@ctrd/services";
import { GrpcPlugin } from "@ctrd/services";
import type { ImagesConfig } from "./config/images-config.ts";
import { imagesConfig } from "./config/images-config.ts";
import type { RuntimeConfig } from "./config/runtime-config.ts";
import { runtimeConfig } from "./config/runtime-config.ts";
import type { StreamingConfig } from "./config/streaming-config.ts";
import { streamingConfig } from "./config/streaming-config.ts";
import { clientServices, criClient, criDirectories, snapshotterRoots } from "./in-process.ts";
import { openCri, openCriImages, openSpecEnvironment, PauseController } from "./index.ts";
import type { CriRuntime } from "./plugin-types.ts";
import { CriImagesPlugin, CriRuntimePlugin, PodSandboxPlugin } from "./plugin-types.ts";

const runtime: Registration<unknown, RuntimeConfig> = {
  ...CriRuntimePlugin,
  config: runtimeConfig,
  initFn: async ({ config, log }): Promise<CriRuntime> => ({ config, specs: await openSpecEnvironment(config, log) }),
};

const images: Registration<unknown, ImagesConfig> = {
  ...CriImagesPlugin,
  requires: clientServices,
  config: imagesConfig,
  async initFn(ic) {
    const client = await criClient(ic);
    ic.onClose(() => client.close());
    return openCriImages(client, ic.config);
  },
};

const podsandbox: Registration<SandboxController> = {
  type: PodSandboxPlugin,
  id: "podsandbox",
  requires: [...clientServices, CriImagesPlugin, CriRuntimePlugin],
  async initFn(ic) {
    const client = await criClient(ic);
    ic.onClose(() => client.close());
    const parts = { ...ic.get(CriRuntimePlugin), images: ic.get(CriImagesPlugin), directories: criDirectories(ic) };
    return new PauseController({ client, ...parts });
  },
};

const cri: Registration<GrpcService, StreamingConfig> = {
  type: GrpcPlugin,
  id: "cri",
  requires: [
    ...clientServices,
    CriImagesPlugin,
    CriRuntimePlugin,
    PodSandboxPlugin,
    RuntimePlugin,
    optional(SandboxControllerPlugin),
  ],
  config: streamingConfig,
  async initFn(ic) {
    const { config, specs } = ic.get(CriRuntimePlugin);
    const opened = await openCri({
      client: await criClient(ic),
      config,
      specs,
      streaming: ic.config,
      images: ic.get(CriImagesPlugin),
      controllers: new Map([...ic.getById(SandboxControllerPlugin), ...ic.getById(PodSandboxPlugin)]),
      runtime: ic.get(RuntimePlugin),
      directories: criDirectories(ic),
      daemonState: dirname(ic.state),
      daemon: ic.daemon,
      log: ic.log,
      snapshotterRoot: snapshotterRoots(ic),
    });
    ic.onClose(() => opened.close());
    return opened;
  },
};

const registrations: readonly AnyRegistration[] = [runtime, images, podsandbox, cri].map(
  (registration) => registration as AnyRegistration,
);
export default registrations;
