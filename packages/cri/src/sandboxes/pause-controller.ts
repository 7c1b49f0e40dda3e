/**
 * The sandbox controller `podsandbox`: a pod is a container that does nothing but hold namespaces.
 *
 * @module
 */
import type { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { Client, Container, Task } from "@ctrd/client";
import { nullIo, withMountedRootfs } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { withLease, withoutCancellation } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, isKind, messageOf, notFound } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Any, Platform, Timestamp } from "@ctrd/core/records";
import { now, timestampFromMillis } from "@ctrd/core/records";
import type {
  CreateSandboxOptions,
  Sandbox,
  SandboxController,
  SandboxInstance,
  SandboxStatus,
} from "@ctrd/core/sandboxes";
import { specTypeUrl } from "@ctrd/core/typeurl";
import { encodeSpec } from "@ctrd/oci";
import type { RuntimeConfig } from "../config/runtime-config.ts";
import { prepareRootfs, removeRootfs } from "../containers/rootfs.ts";
import type { CriImage } from "../images/cri-image.ts";
import type { CriImages } from "../images/cri-images.ts";
import type { SpecEnvironment } from "../spec/index.ts";
import { sandboxSpec } from "../spec/index.ts";
import { recordLabels } from "../store/labels.ts";
import { unlessGone } from "../store/unless-gone.ts";
import { handlerConfig } from "./handlers.ts";
import type { CriDirectories } from "./layout.ts";
import { makePodFiles, podUserMappings, removePodFiles, unmountPodFiles } from "./pod-files.ts";
import { runtimeOptions } from "./runtime-options.ts";
import type { SandboxMetadata } from "./sandbox.ts";
import { decodeSandboxMetadata, encodeSandboxMetadata, pauseExtension, sandboxExtension } from "./sandbox.ts";
import { keepUserNamespace } from "./user-namespace.ts";

/** What the controller works with. */
export interface PauseControllerOptions {
  readonly client: Client;
  readonly config: RuntimeConfig;
  readonly images: CriImages;
  readonly specs: SpecEnvironment;
  readonly directories: CriDirectories;
}

interface Exit {
  readonly exitStatus: number;
  readonly exitedAt: Timestamp | undefined;
}

/** A pause container. */
interface Pause {
  readonly container: Container;
  /** Undefined once it has ended. */
  task: Task | undefined;
  exited: Promise<Exit>;
  exit: Exit | undefined;
}

/** Runs pods by pause containers. What a daemon before this one has started is found again. */
export class PauseController implements SandboxController {
  readonly #options: PauseControllerOptions;
  readonly #created = new Map<string, { readonly metadata: SandboxMetadata }>();
  readonly #pauses = new Map<string, Promise<Pause>>();

  constructor(options: PauseControllerOptions) {
    this.#options = options;
  }

  async create(_ctx: CallContext, sandbox: Sandbox, options: CreateSandboxOptions = {}): Promise<void> {
    const id = sandbox.sandboxId;
    if (this.#created.has(id)) throw alreadyExists(`pod sandbox "${id}"`);
    const metadata = decodeSandboxMetadata(id, sandbox.extensions.get(sandboxExtension));
    if (options.netnsPath !== undefined) metadata.netnsPath = options.netnsPath;
    this.#created.set(id, { metadata });
  }

  async start(ctx: CallContext, id: string): Promise<SandboxInstance> {
    const created = this.#created.get(id);
    if (created === undefined) throw notFound(`pod sandbox "${id}": it was not created`);
    const { metadata } = created;
    const leased = withLease(ctx, id);
    try {
      const container = await this.#makeContainer(leased, metadata);
      const task = await container.newTask({
        signal: ctx.signal,
        span: ctx.span,
        operation: ctx.operation,
        io: nullIo,
      });
      await this.#startTask(ctx, task);
      this.#pauses.set(id, Promise.resolve(this.#watched(container, task)));
      return {
        pid: task.pid,
        createdAt: container.record.createdAt ?? now(),
        labels: new Map([["selinux_label", metadata.processLabel]]),
        address: "",
        version: 0,
        spec: container.record.spec,
      };
    } catch (error) {
      await this.#discard(withoutCancellation(leased), metadata);
      throw error;
    }
  }

  async #startTask(ctx: CallContext, task: Task): Promise<void> {
    try {
      await task.start({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    } catch (error) {
      await task.delete({ kill: true });
      throw error;
    }
  }

  async #makeContainer(ctx: CallContext, metadata: SandboxMetadata): Promise<Container> {
    const { client, config, images, specs, directories } = this.#options;
    const { id } = metadata;
    const handler = handlerConfig(config, metadata.runtimeHandler);
    const image = this.pauseImage();
    const snapshotter = images.snapshotterOf(metadata.runtimeHandler);
    const [files] = await Promise.all([
      makePodFiles(directories, id, metadata.config),
      prepareRootfs(client, ctx, { image, snapshotter, key: id, labels: snapshotLabels(metadata.config) }),
    ]);
    const ownsNetwork = metadata.netnsPath !== "" && podUserMappings(metadata.config) !== undefined;
    const usernsPath = ownsNetwork ? await keepUserNamespace(directories, id, metadata.netnsPath) : undefined;
    const { spec, processLabel } = await sandboxSpec(ctx, specs, {
      id,
      config: metadata.config,
      image: { name: images.config.pinned_images["sandbox"] ?? "", config: image.config },
      handler,
      netnsPath: metadata.netnsPath,
      ...(usernsPath === undefined ? {} : { usernsPath }),
      files,
      withRootfs: (use) =>
        withMountedRootfs(
          client,
          snapshotter,
          id,
          { signal: ctx.signal, span: ctx.span, operation: ctx.operation },
          use,
        ),
    });
    metadata.processLabel = processLabel;
    const record = await client.services.containerService.create(ctx, {
      id,
      labels: recordLabels("sandbox", image.extras.labels, metadata.config.labels),
      image: image.references[0] ?? "",
      runtime: { name: shimOf(handler), options: runtimeOptions(handler, config) },
      spec: { typeUrl: specTypeUrl, value: encodeSpec(spec) },
      snapshotter,
      snapshotKey: id,
      createdAt: undefined,
      updatedAt: undefined,
      extensions: new Map([[pauseExtension, encodeSandboxMetadata(metadata)]]),
      sandbox: id,
    });
    return client.containerOf(record);
  }

  /** @throws ContainerdError `failed-precondition` when it was not pulled */
  pauseImage(): CriImage {
    const { images } = this.#options;
    const name = images.config.pinned_images["sandbox"] ?? "";
    const image = images.find(name);
    if (image !== undefined) return image;
    throw failedPrecondition(`pause image "${name}" is not here; pull it, or set pinned_images.sandbox to one that is`);
  }

  platform(): Promise<Platform> {
    return Promise.resolve(hostPlatform());
  }

  async stop(ctx: CallContext, id: string): Promise<void> {
    const pause = await this.#find(id);
    await pause.task
      ?.kill("SIGKILL", { signal: ctx.signal, span: ctx.span, operation: ctx.operation, all: true })
      .catch((error: unknown) => {
        if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
      });
    await pause.exited;
    unmountPodFiles(this.#options.directories, id);
  }

  async wait(_ctx: CallContext, id: string): Promise<Exit> {
    return (await this.#find(id)).exited;
  }

  async status(_ctx: CallContext, id: string, verbose: boolean): Promise<SandboxStatus> {
    const pause = await this.#find(id);
    const { record } = pause.container;
    const info = verbose ? { runtimeType: record.runtime?.name, snapshotter: record.snapshotter } : {};
    return {
      pid: pause.task?.pid ?? 0,
      state: pause.task === undefined ? "SANDBOX_NOTREADY" : "SANDBOX_READY",
      info: new Map(verbose ? [["info", JSON.stringify(info)]] : []),
      createdAt: record.createdAt,
      exitedAt: pause.exit?.exitedAt,
      extra: undefined,
      address: "",
      version: 0,
    };
  }

  async shutdown(ctx: CallContext, id: string): Promise<void> {
    const deletion = this.#find(id).then(({ container }) =>
      container.delete({ kill: true, snapshot: true, signal: ctx.signal }),
    );
    await unlessGone(deletion);
    await removePodFiles(this.#options.directories, id);
    this.#created.delete(id);
    this.#pauses.delete(id);
  }

  async metrics(
    ctx: CallContext,
    id: string,
  ): Promise<{ timestamp: Timestamp | undefined; id: string; data: Any | undefined }> {
    const { task } = await this.#find(id);
    if (task === undefined) throw notFound(`metrics of pod sandbox "${id}": it does not run`);
    return { id, ...(await task.metrics({ signal: ctx.signal, span: ctx.span, operation: ctx.operation })) };
  }

  async update(): Promise<void> {
    // Nothing of a pause container depends on what can change.
  }

  /** Removes what a start that failed has made. */
  async #discard(
    ctx: CallContext,
    { id, config: _config, runtimeHandler, processLabel }: SandboxMetadata,
  ): Promise<void> {
    const { client, images, directories, specs } = this.#options;
    await unlessGone(client.services.containerService.delete(ctx, id));
    await removeRootfs(client, ctx, images.snapshotterOf(runtimeHandler), id);
    await removePodFiles(directories, id);
    if (processLabel !== "") specs.selinux.release(processLabel);
  }

  #watched(container: Container, task: Task): Pause {
    const pause: Pause = { container, task, exit: undefined, exited: this.#ended(container.id, task) };
    void pause.exited.then((exit) => {
      pause.task = undefined;
      pause.exit = exit;
    });
    return pause;
  }

  /** Waits for the end, and deletes the task then. */
  async #ended(id: string, task: Task): Promise<Exit> {
    const { client } = this.#options;
    let exit: Exit = { exitStatus: 255, exitedAt: now() };
    try {
      const { exitCode, exitedAt } = await task.wait();
      exit = { exitStatus: exitCode, exitedAt: timestampFromMillis(exitedAt?.getTime() ?? Date.now()) };
      await task.delete({ kill: true });
    } catch (error) {
      // The daemon stops; the pod goes on.
      if (client.context().signal.aborted) return new Promise(() => {});
      // Gone already: its shim was lost.
      if (!isKind(error, "not-found")) client.log.warn({ sandbox: id, err: messageOf(error) }, "end of a pod not seen");
    }
    return exit;
  }

  #find(id: string): Promise<Pause> {
    const known = this.#pauses.get(id);
    if (known !== undefined) return known;
    const found = this.#recover(id);
    this.#pauses.set(id, found);
    found.catch(() => {
      if (this.#pauses.get(id) === found) this.#pauses.delete(id);
    });
    return found;
  }

  /** Finds what a daemon before this one has started. */
  async #recover(id: string): Promise<Pause> {
    const container = await this.#options.client.loadContainer(id);
    const ended = (exit: Exit): Pause => ({ container, task: undefined, exit, exited: Promise.resolve(exit) });
    try {
      const task = await container.task();
      const { state, exitCode, exitedAt } = await task.status();
      if (state !== "stopped") return this.#watched(container, task);
      await task.delete({ kill: true });
      return ended({ exitStatus: exitCode, exitedAt: timestampFromMillis(exitedAt?.getTime() ?? Date.now()) });
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
      return ended({ exitStatus: 255, exitedAt: now() });
    }
  }
}

/** The shim of a handler: the one that it names, or that of the runtime's type. */
export function shimOf(handler: { runtime_type: string; runtime_path: string }): string {
  return handler.runtime_path === "" ? handler.runtime_type : handler.runtime_path;
}

/** Labels of snapshots in a user namespace: a snapshotter that can shifts the owners of files. */
export function snapshotLabels({ linux }: PodSandboxConfig): Map<string, string> {
  const userns = linux?.securityContext?.namespaceOptions?.usernsOptions;
  const [uid, gid] = [userns?.uids[0], userns?.gids[0]];
  if (uid === undefined || gid === undefined) return new Map();
  const text = ({ containerId, hostId, length }: typeof uid): string => `${containerId}:${hostId}:${length}`;
  return new Map([
    ["containerd.io/snapshot/uidmapping", text(uid)],
    ["containerd.io/snapshot/gidmapping", text(gid)],
  ]);
}
