/**
 * The client.
 *
 * @module
 */
import type { Container as ContainerRecord } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { canceled } from "@ctrd/core/errors";
import type { Envelope, EventReplay } from "@ctrd/core/events";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import type { Image as ImageRecord } from "@ctrd/core/images";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { OperationRecord } from "@ctrd/core/operations";
import { hostPlatform } from "@ctrd/core/platforms";
import type { PluginStatus } from "@ctrd/core/plugin";
import type { Descriptor, Platform } from "@ctrd/core/records";
import type { Resolver } from "@ctrd/core/remotes";
import type { ImageService } from "@ctrd/core/services";
import type { Snapshotter } from "@ctrd/core/snapshots";
import type { PlatformMatcher } from "@ctrd/images";
import { parsePlatformText, storeImage, withTemporaryLease } from "@ctrd/images";
import type { VersionInfo } from "@ctrd/services";
import type { ExportArchiveOptions, ImportArchiveOptions } from "./archives.ts";
import { exportImages, importImages } from "./archives.ts";
import { Container } from "./container.ts";
import type { DaemonPullOptions } from "./daemon-pull.ts";
import { Image } from "./image.ts";
import { defaultFifoDirectory } from "./io/fifos.ts";
import type { LeaseOptions } from "./lease.ts";
import { ClientLease } from "./lease.ts";
import type { NewContainerOptions } from "./new-container.ts";
import { newContainer } from "./new-container.ts";
import type { Abortable, LabelValues, PlatformChoice } from "./options.ts";
import { labelsOf, platformMatcher } from "./options.ts";
import type { PullImageOptions, PushImageOptions } from "./registries.ts";
import { openDefaultResolver, pull, push } from "./registries.ts";
import type { ClientServices } from "./services.ts";
import type { ListedTask } from "./task.ts";
import { listedTask } from "./task.ts";

/** Options of a client. */
export interface ClientOptions {
  /** Namespace of all calls; `default` when absent. */
  readonly namespace?: string;
  readonly log?: Logger;
  /** Where images are pulled from and pushed to; by default registries, with Docker's credentials and `certs.d`. */
  readonly resolver?: Resolver;
  /** Platform of images; this machine's when absent. */
  readonly platform?: string | Platform;
  /** Directory for the FIFOs of processes; containerd's own, `/run/containerd/fifo`, when absent. */
  readonly fifoDirectory?: string;
  /** Asked before every pull that names no other, by name; for a daemon in this process its own when absent. */
  readonly verifiers?: ReadonlyMap<string, ImageVerifier>;
}

/** Where a client gets its services from. */
export interface Backend {
  readonly services: ClientServices;
  isServing(ctx: CallContext): Promise<boolean>;
  /** Those of a daemon in this process. */
  verifiers?(): ReadonlyMap<string, ImageVerifier>;
  close(): void;
}

/** What all views of a client share. */
interface Shared {
  readonly backend: Backend;
  readonly closed: AbortController;
  readonly resolver: () => Promise<Resolver>;
}

/**
 * A client of ctrd or containerd. It is made by `connect` or `fromDaemon`; disposing closes it. Containers go on.
 */
export class Client implements AsyncDisposable {
  readonly services: ClientServices;
  readonly namespace: string;
  readonly log: Logger;
  readonly fifoDirectory: string;
  readonly platform: Platform;
  readonly #options: ClientOptions;
  readonly #shared: Shared;
  readonly #lease: string | undefined;

  /** @internal */
  constructor(options: ClientOptions, backend: Backend, view?: { shared: Shared; lease: string | undefined }) {
    this.services = backend.services;
    this.namespace = options.namespace ?? "default";
    this.log = options.log ?? silentLogger;
    this.fifoDirectory = options.fifoDirectory ?? defaultFifoDirectory;
    const { platform = hostPlatform() } = options;
    this.platform = typeof platform === "string" ? parsePlatformText(platform, hostPlatform()) : platform;
    this.#options = options;
    this.#lease = view?.lease;
    this.#shared = view?.shared ?? {
      backend,
      closed: new AbortController(),
      resolver: once(async () => options.resolver ?? openDefaultResolver(this.log)),
    };
  }

  /** The context of a call, for {@link services} and whatever else wants one. It ends with the client. */
  context(options: Abortable = {}): CallContext {
    const { signal: closed } = this.#shared.closed;
    const { signal, span, operation } = options;
    return createContext({
      span,
      operation,
      namespace: this.namespace,
      log: this.log,
      signal: signal === undefined ? closed : AbortSignal.any([closed, signal]),
      ...(this.#lease === undefined ? {} : { lease: this.#lease }),
    });
  }

  /** The same client in another namespace. */
  inNamespace(namespace: string): Client {
    return this.#view({ ...this.#options, namespace }, this.#lease);
  }

  #view(options: ClientOptions, lease: string | undefined): Client {
    return new Client(options, this.#shared.backend, { shared: this.#shared, lease });
  }

  get content(): ContentStore {
    return this.services.contentStore;
  }

  get images(): ImageService {
    return this.services.imageService;
  }

  get namespaces(): NamespaceStore {
    return this.services.namespaceService;
  }

  /** A snapshotter by its name. */
  snapshotter(name: string): Snapshotter {
    return this.services.snapshotters.get(name);
  }

  version(options: Abortable = {}): Promise<VersionInfo> {
    return this.services.versionService.version(this.context(options));
  }

  /** Whether the daemon answers and is ready. */
  isServing(options: Abortable = {}): Promise<boolean> {
    return this.#shared.backend.isServing(this.context(options));
  }

  /** Plugins that match any of `filters`; all when there are none. */
  plugins(filters: readonly string[] = [], options: Abortable = {}): Promise<PluginStatus[]> {
    return this.services.introspectionService.plugins(this.context(options), filters);
  }

  /**
   * Events of every namespace that match any of `filters`, from now on, until `signal` aborts or the loop is left.
   * `since`, `after` and `until` are of ctrd alone: it begins with what its history has, without a gap.
   */
  subscribe(filters: readonly string[] = [], options: Abortable & EventReplay = {}): AsyncIterable<Envelope> {
    const { since, after, until } = options;
    return this.services.eventService.subscribe(this.context(options), filters, { since, after, until });
  }

  /** What the daemon is doing. @throws ContainerdError `not-implemented` from a containerd */
  operations(options: Abortable & { readonly passive?: boolean } = {}): Promise<OperationRecord[]> {
    return this.services.operationService.list(this.context(options), { passive: options.passive ?? false });
  }

  // ---- images ----------------------------------------------------------------------------------------------------

  /** Pulls an image by its full reference and unpacks it. */
  pull(reference: string, options: PullImageOptions = {}): Promise<Image> {
    return pull(this, reference, options);
  }

  /**
   * Pulls an image with the daemon's own hands: faster for large images, but with the services of the daemon alone and
   * from registries only.
   *
   * @throws ContainerdError `not-implemented` when the daemon has no Transfer service
   */
  async pullByDaemon(reference: string, options: DaemonPullOptions = {}): Promise<Image> {
    return (await import("./daemon-pull.ts")).pullByDaemon(this, reference, options);
  }

  /** Pushes an image, or a descriptor of the content store, as `reference`. */
  push(reference: string, what: Image | Descriptor, options: PushImageOptions = {}): Promise<void> {
    return push(this, reference, what, options);
  }

  /** Stores the images of an archive: an OCI layout or what `docker save` writes, plain or compressed. */
  import(archive: AsyncIterable<Uint8Array>, options: ImportArchiveOptions = {}): Promise<Image[]> {
    return importImages(this, archive, options);
  }

  /** Writes images to an archive that both containerd and Docker load. */
  export(images: readonly (Image | string)[], options: ExportArchiveOptions = {}): AsyncIterable<Buffer> {
    return exportImages(this, images, options);
  }

  /** @throws ContainerdError `not-found` */
  async getImage(name: string, options: Abortable = {}): Promise<Image> {
    return this.imageOf(await this.images.get(this.context(options), name));
  }

  /** The image of a record that was read otherwise. */
  imageOf(record: ImageRecord): Image {
    return new Image(this, record);
  }

  async listImages(filters: readonly string[] = [], options: Abortable = {}): Promise<Image[]> {
    const records = await this.images.list(this.context(options), filters);
    return records.map((record) => this.imageOf(record));
  }

  /** Names a descriptor; an image of that name then points at it. */
  async createImage(
    name: string,
    target: Descriptor,
    options: Abortable & { readonly labels?: LabelValues } = {},
  ): Promise<Image> {
    const record = await storeImage(this.context(options), this.images, name, target, labelsOf(options.labels));
    return this.imageOf(record);
  }

  // ---- containers ------------------------------------------------------------------------------------------------

  /** Makes a container, with a snapshot of an image as a rule. */
  newContainer(id: string, options: NewContainerOptions): Promise<Container> {
    return newContainer(this, id, options);
  }

  /** @throws ContainerdError `not-found` */
  async loadContainer(id: string, options: Abortable = {}): Promise<Container> {
    return this.containerOf(await this.services.containerService.get(this.context(options), id));
  }

  async containers(filters: readonly string[] = [], options: Abortable = {}): Promise<Container[]> {
    const records = await this.services.containerService.list(this.context(options), filters);
    return records.map((record) => this.containerOf(record));
  }

  /** The container of a record that was read otherwise. */
  containerOf(record: ContainerRecord): Container {
    return new Container(this, record);
  }

  /** The tasks of the namespace. */
  async tasks(options: Abortable = {}): Promise<ListedTask[]> {
    const { tasks } = await this.services.taskService.list(this.context(options), { filter: "" });
    return tasks.map(listedTask);
  }

  // ---- leases and defaults ---------------------------------------------------------------------------------------

  /** Makes a lease; what is made through its client is kept until it ends. Disposing ends it. */
  async createLease(options: LeaseOptions = {}): Promise<ClientLease> {
    return ClientLease.create(this, (lease) => this.#view(this.#options, lease), options);
  }

  async listLeases(filters: readonly string[] = [], options: Abortable = {}): Promise<ClientLease[]> {
    const leases = await this.services.leasesService.list(this.context(options), filters);
    return leases.map((lease) => new ClientLease(this, this.#view(this.#options, lease.id), lease));
  }

  /** Runs `body` with a client under a lease that ends with it, and after a day at the latest. */
  async withLease<T>(body: (client: Client) => Promise<T>, options: Abortable = {}): Promise<T> {
    return withTemporaryLease(this.context(options), this.services.leasesService, ({ lease }) =>
      body(this.#view(this.#options, lease)),
    );
  }

  /** What the namespace's labels say, else `overlayfs`. */
  async defaultSnapshotter(options: Abortable = {}): Promise<string> {
    return (await this.#namespaceLabel("containerd.io/defaults/snapshotter", options)) ?? "overlayfs";
  }

  /** What the namespace's labels say, else `io.containerd.runc.v2`. */
  async defaultRuntime(options: Abortable = {}): Promise<string> {
    return (await this.#namespaceLabel("containerd.io/defaults/runtime", options)) ?? "io.containerd.runc.v2";
  }

  async #namespaceLabel(label: string, options: Abortable): Promise<string | undefined> {
    const { labels } = await this.namespaces.get(this.context(options), this.namespace);
    return labels.get(label) || undefined;
  }

  /** The matcher of a choice of platforms; of the client's own when there is none. */
  platformMatcher(choice: PlatformChoice | undefined): PlatformMatcher {
    return platformMatcher(choice, this.platform);
  }

  /** The resolver that pulls and pushes use unless they are given another. */
  resolver(): Promise<Resolver> {
    return this.#shared.resolver();
  }

  /** The image verifiers that a pull asks unless it is given others. */
  get verifiers(): ReadonlyMap<string, ImageVerifier> | undefined {
    return this.#options.verifiers ?? this.#shared.backend.verifiers?.();
  }

  /** Ends all calls under way and the connection; other views of this client end as well. */
  close(): void {
    this.#shared.closed.abort(canceled("the client was closed"));
    this.#shared.backend.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
