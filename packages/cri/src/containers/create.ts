/**
 * CreateContainer.
 *
 * @module
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerConfig, ContainerUser, CreateContainerRequest } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerEventType, NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import { withMountedRootfs } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { withLease, withoutCancellation } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import { specTypeUrl } from "@ctrd/core/typeurl";
import type { Spec } from "@ctrd/oci";
import { encodeSpec } from "@ctrd/oci";
import { publishEvent } from "../events/publish.ts";
import type { CriImage } from "../images/cri-image.ts";
import { handlerConfig } from "../sandboxes/handlers.ts";
import { containerRoot, containerState, sandboxFiles } from "../sandboxes/layout.ts";
import { shimOf, snapshotLabels } from "../sandboxes/pause-controller.ts";
import { hasHostIpc } from "../sandboxes/pod-files.ts";
import { runtimeOptions } from "../sandboxes/runtime-options.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { ContainerSpec } from "../spec/index.ts";
import { containerSpec } from "../spec/index.ts";
import { nowNanos } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import { containerName, newId } from "../store/ids.ts";
import { recordLabels } from "../store/labels.ts";
import { Stages } from "../store/stages.ts";
import { together } from "../store/together.ts";
import { unlessGone } from "../store/unless-gone.ts";
import type { ContainerMetadata } from "./container-metadata.ts";
import { containerExtension, encodeContainerMetadata } from "./container-metadata.ts";
import { Container } from "./container.ts";
import { mountImages, unmountImages } from "./image-mounts.ts";
import { containerIo } from "./log.ts";
import { prepareRootfs, removeRootfs } from "./rootfs.ts";
import { signalName } from "./signals.ts";
import { fillVolumes } from "./volumes.ts";

/** What one container is made of. */
interface Making {
  readonly cri: Cri;
  readonly ctx: CallContext;
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly image: CriImage;
  readonly snapshotter: string;
  readonly stages: Stages;
}

/** Makes a container. @returns its id */
export async function createContainer(cri: Cri, ctx: CallContext, request: CreateContainerRequest): Promise<string> {
  const { config } = request;
  const sandbox = cri.sandboxes.get(request.podSandboxId);
  const pod = sandbox.metadata.config.metadata;
  if (config?.metadata === undefined || pod === undefined) {
    throw invalidArgument("create container: config.metadata must be set");
  }
  if (sandbox.state !== "ready") throw failedPrecondition(`create container: pod sandbox "${sandbox.id}" is not ready`);
  const id = newId();
  const name = containerName(config.metadata, pod);
  const reservation = cri.containerNames.reserve(name, id, "begin");
  const leased = withLease(ctx, sandbox.id);
  const stages = new Stages(`create container "${name}"`, ctx, reservation);
  try {
    const image = await stages.run("image", async () => findImage(cri, config));
    const snapshotter = cri.images.snapshotterOf(sandbox.metadata.runtimeHandler);
    const container = await make({ cri, ctx: leased, id, sandbox, image, snapshotter, stages }, name, config);
    stages.check();
    cri.containers.add(container);
    reservation.stage = "created";
    publishEvent(cri, container, ContainerEventType.CONTAINER_CREATED_EVENT);
    await cri.nri.quietly("after a creation", () => cri.nri.container(ctx, "postCreateContainer", container));
    return id;
  } catch (error) {
    await stages.undo(ctx.log);
    cri.containerNames.release(id);
    throw error;
  }
}

function findImage(cri: Cri, { image }: ContainerConfig): CriImage {
  const wanted = image?.image ?? "";
  const found = cri.images.find(wanted);
  if (found === undefined) throw notFound(`image "${wanted}"; pull it first`);
  return found;
}

async function make(making: Making, name: string, asked: ContainerConfig): Promise<Container> {
  const { cri, ctx, id, sandbox, image, snapshotter, stages } = making;
  const cleaning = withoutCancellation(ctx);
  const root = containerRoot(cri.directories, id);
  const state = containerState(cri.directories, id);
  await stages.run(
    "directories",
    async () => {
      await Promise.all([root, state].map((directory) => mkdir(directory, { recursive: true, mode: 0o700 })));
    },
    () => Promise.all([root, state].map((directory) => rm(directory, { recursive: true, force: true }))),
  );
  await stages.run(
    "snapshot",
    () =>
      prepareRootfs(cri.client, ctx, { image, snapshotter, key: id, labels: snapshotLabels(sandbox.metadata.config) }),
    () => removeRootfs(cri.client, cleaning, snapshotter, id),
  );
  const config = await mountedConfig(making, asked);
  const { spec, processLabel, volumes } = await stages.run(
    "spec",
    () => specOf(making, config, root),
    async (made) => cri.specs.selinux.release(made.processLabel),
  );
  const adjusted = await stages.run("NRI", () =>
    cri.nri.create(ctx, sandbox, { id, sandboxId: sandbox.id, config: asked }, spec),
  );
  const signal = ctx.signal;
  await stages.run("volumes", () => fillVolumes(cri.client, signal, { snapshotter, key: id }, volumes));
  const metadata: ContainerMetadata = {
    id,
    name,
    sandboxId: sandbox.id,
    config: asked,
    imageRef: image.id,
    logPath: logPathOf(sandbox, asked),
    stopSignal: signalName(asked.stopSignal) || image.extras.stopSignal,
    processLabel,
  };
  // Each waits for the disk.
  const [, container] = await together(
    ctx,
    (each) =>
      stages.run(
        "record",
        () => storeRecord({ ...making, ctx: each }, metadata, adjusted),
        () => deleteRecord(cri, cleaning, id),
      ),
    () => stages.run("status", () => newContainer(making, metadata, adjusted, root)),
  );
  return container;
}

/** The configuration with its images mounted. */
function mountedConfig(
  { cri, ctx, id, snapshotter, stages }: Making,
  config: ContainerConfig,
): Promise<ContainerConfig> {
  const unmount = (): Promise<void> => unmountImages(cri, withoutCancellation(ctx), id, config, snapshotter);
  return stages.run(
    "image volumes",
    async () => {
      try {
        return await mountImages(cri, ctx, id, config, snapshotter);
      } catch (error) {
        await unmount();
        throw error;
      }
    },
    unmount,
  );
}

async function specOf(making: Making, config: ContainerConfig, root: string): Promise<ContainerSpec> {
  const { cri, ctx, id, sandbox, image, snapshotter } = making;
  const { metadata, pid } = sandbox;
  const target = targetPid(cri, sandbox, config);
  const { recursiveReadOnlyMounts } = await cri.features.of(metadata.runtimeHandler);
  return containerSpec(ctx, cri.specs, {
    id,
    config,
    sandboxConfig: metadata.config,
    sandbox: {
      id: sandbox.id,
      pid,
      processLabel: metadata.processLabel,
      files: sandboxFiles(cri.directories, sandbox.id, hasHostIpc(metadata.config)),
    },
    ...(target === undefined ? {} : { targetPid: target }),
    image: {
      name: config.image?.userSpecifiedImage || (config.image?.image ?? ""),
      config: image.config,
      volumes: image.extras.volumes,
    },
    handler: handlerConfig(cri.config, metadata.runtimeHandler),
    recursiveReadOnlyMounts,
    volumesDirectory: join(root, "volumes"),
    withRootfs: (use) => withMountedRootfs(cri.client, snapshotter, id, { signal: ctx.signal, span: ctx.span }, use),
  });
}

/** The process whose namespaces a debug container wants to see. */
function targetPid(cri: Cri, sandbox: Sandbox, config: ContainerConfig): number | undefined {
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) return undefined;
  const target = cri.containers.get(options.targetId);
  if (target.metadata.sandboxId !== sandbox.id) {
    throw invalidArgument(`target container "${target.id}" is in another pod`);
  }
  if (target.status.pid === 0) throw failedPrecondition(`target container "${target.id}" does not run`);
  return target.status.pid;
}

async function storeRecord(making: Making, metadata: ContainerMetadata, spec: Spec): Promise<void> {
  const { cri, ctx, id, sandbox, image, snapshotter } = making;
  const handler = handlerConfig(cri.config, sandbox.metadata.runtimeHandler);
  await cri.client.services.containerService.create(ctx, {
    id,
    labels: recordLabels("container", image.extras.labels, metadata.config.labels),
    image: image.references[0] ?? "",
    runtime: { name: shimOf(handler), options: runtimeOptions(handler, cri.config) },
    spec: { typeUrl: specTypeUrl, value: encodeSpec(spec) },
    snapshotter,
    snapshotKey: id,
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map([[containerExtension, encodeContainerMetadata(metadata)]]),
    sandbox: sandbox.id,
  });
}

/** Deletes the record of a container; one that is gone is fine. */
export function deleteRecord(cri: Cri, ctx: CallContext, id: string): Promise<void> {
  return unlessGone(cri.client.services.containerService.delete(ctx, id));
}

async function newContainer(
  { cri, snapshotter }: Making,
  metadata: ContainerMetadata,
  spec: Spec,
  root: string,
): Promise<Container> {
  const { config } = metadata;
  const container = new Container({
    metadata,
    root,
    snapshotter,
    user: userOf(spec),
    status: {
      pid: 0,
      createdAt: nowNanos(),
      startedAt: 0n,
      finishedAt: 0n,
      exitCode: 0,
      reason: "",
      message: "",
      resources: config.linux?.resources,
    },
  });
  container.io = containerIo(cri, metadata);
  // It is there when the container starts.
  cri.logs.prepare();
  await container.save();
  return container;
}

/** Who the first process of a spec runs as. */
export function userOf({ process }: Spec): ContainerUser | undefined {
  if (process === undefined) return undefined;
  const { uid, gid, additionalGids = [] } = process.user;
  return {
    linux: { uid: BigInt(uid), gid: BigInt(gid), supplementalGroups: additionalGids.map((group) => BigInt(group)) },
  };
}

function logPathOf({ metadata }: Sandbox, { logPath }: ContainerConfig): string {
  const { logDirectory } = metadata.config;
  return logDirectory === "" || logPath === "" ? "" : join(logDirectory, logPath);
}
