/**
 * Opens the parts of CRI over the plugins of the daemon that they are in.
 *
 * @module
 */
import { dirname, join } from "node:path";
import type { Client, ServiceOverrides } from "@ctrd/client";
import { fromDaemon } from "@ctrd/client";
import { workingVerifiers } from "@ctrd/core/image-verifier";
import type { InitContext } from "@ctrd/core/plugin";
import { pluginRef } from "@ctrd/core/plugin";
import { PullsPlugin } from "@ctrd/core/pulls";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { PodSandboxPlugin, SandboxControllerPlugin } from "@ctrd/core/sandboxes";
import { DiffService } from "@ctrd/core/services";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { RuntimePlugin } from "@ctrd/core/tasks";
import { NodeResourcesPlugin } from "@ctrd/services";
import type { ImagesConfig } from "./config/images-config.ts";
import type { StreamingConfig } from "./config/streaming-config.ts";
import type { CriImages } from "./images/cri-images.ts";
import { layerDiffer } from "./images/layer-differ.ts";
import { openCriImages } from "./images/open-images.ts";
import type { OpenedCri } from "./open-cri.ts";
import { openCri } from "./open-cri.ts";
import { CriImagesPlugin, CriMetricsPlugin, CriRuntimePlugin } from "./plugin-types.ts";
import type { CriDirectories } from "./sandboxes/layout.ts";
import { PauseController } from "./sandboxes/pause-controller.ts";
import { criNamespace } from "./store/cri.ts";

/** The images of the plugin `images`. */
export async function openImages(ic: InitContext<ImagesConfig>): Promise<CriImages> {
  const diffService = layerDiffer(ic.get(DiffService), ic.config);
  return openCriImages(criClient(ic, { diffService }), ic.config, ic.getAll(PullsPlugin)[0]);
}

/** The controller of the plugin `podsandbox`. */
export async function openPodSandbox(ic: InitContext): Promise<SandboxController> {
  const { config, specs } = ic.get(CriRuntimePlugin);
  return new PauseController({
    client: criClient(ic),
    config,
    specs: await specs(),
    images: await ic.get(CriImagesPlugin).images(),
    directories: criDirectories(ic),
  });
}

/** The services of the plugin `cri`. */
export async function openService(ic: InitContext<StreamingConfig>): Promise<OpenedCri> {
  const { config, specs } = ic.get(CriRuntimePlugin);
  return openCri({
    client: criClient(ic),
    config,
    specs: await specs(),
    streaming: ic.config,
    images: await ic.get(CriImagesPlugin).images(),
    controllers: new Map([...ic.getById(SandboxControllerPlugin), ...ic.getById(PodSandboxPlugin)]),
    runtime: ic.get(RuntimePlugin),
    directories: criDirectories(ic),
    daemonState: dirname(ic.state),
    daemon: ic.daemon,
    log: ic.log,
    metrics: ic.get(CriMetricsPlugin),
    nodeResources: ic.find(pluginRef(NodeResourcesPlugin, "nri")),
    snapshotterRoot: snapshotterRoots(ic),
  });
}

/** A client in the namespace of CRI. It ends with the daemon. @throws when that has ended already */
function criClient(ic: InitContext<unknown>, services: ServiceOverrides = {}): Client {
  // What is opened late may find a daemon that stops: nothing would close the client.
  ic.signal.throwIfAborted();
  const daemon = { find: ic.find.bind(ic), getAll: ic.getAll.bind(ic) };
  const settings = { namespace: criNamespace, log: ic.log, verifiers: workingVerifiers(ic) };
  const client = fromDaemon(daemon, { ...settings, ...services });
  ic.signal.addEventListener("abort", () => client.close(), { once: true });
  return client;
}

/** Directories of CRI, whichever of its plugins asks. */
function criDirectories({ root, state }: InitContext<unknown>): CriDirectories {
  const name = "io.containerd.grpc.v1.cri";
  return { root: join(dirname(root), name), state: join(dirname(state), name) };
}

/** Where snapshotters say that they are; below the daemon's root, as containerd lays it out, when they do not. */
function snapshotterRoots(ic: InitContext<unknown>): (name: string) => string {
  const { name: type } = SnapshotPlugin;
  return (name) => {
    const status = ic.plugins().find((plugin) => plugin.type === type && plugin.id === name);
    return status?.meta.exports.get("root") ?? join(dirname(ic.root), `${type}.${name}`);
  };
}
