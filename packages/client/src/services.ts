/**
 * The services that a client works with. Each can be replaced on its own.
 *
 * @module
 */
import type { ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import type { Differ } from "@ctrd/core/diff";
import type { EventService } from "@ctrd/core/events";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { LeaseManager } from "@ctrd/core/leases";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { OperationService } from "@ctrd/core/operations";
import type { PullService } from "@ctrd/core/pulls";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import type { ImageService } from "@ctrd/core/services";
import type { Snapshotter, SnapshotterLookup } from "@ctrd/core/snapshots";
import type { TaskService } from "@ctrd/core/tasks";
import type { TransferClient, VersionInfo } from "@ctrd/services";

/** Tells the version of a daemon. */
export interface VersionService {
  version(ctx: CallContext): Promise<VersionInfo>;
}

/** Everything that a client uses. Methods take a context first; {@link Client.context} makes one. */
export interface ClientServices {
  readonly containerService: ContainerStore;
  readonly contentStore: ContentStore;
  readonly diffService: Differ;
  readonly eventService: EventService;
  readonly imageService: ImageService;
  readonly leasesService: LeaseManager;
  readonly namespaceService: NamespaceStore;
  /** What the daemon is doing; ctrd alone has it. */
  readonly operationService: OperationService;
  /** Pulls that run in the daemon; ctrd alone has it. */
  readonly pullService: PullService;
  readonly snapshotters: SnapshotterLookup;
  readonly taskService: TaskService;
  readonly transferService: TransferClient;
  readonly sandboxStore: SandboxStore;
  readonly introspectionService: IntrospectionService;
  readonly versionService: VersionService;
}

/**
 * Services to use in place of the daemon's, mixed freely. Whoever mixes sees to it that they fit: a differ must be able
 * to read the content store and to perform the mounts of the snapshotter, a task service to perform them as well.
 */
export interface ServiceOverrides extends Partial<Omit<ClientServices, "snapshotters">> {
  /** Snapshotters by name; of names that are not here the daemon's are used. */
  readonly snapshotters?: ReadonlyMap<string, Snapshotter>;
}

/** Makes each service when it is first asked for. */
export type ServiceSource = { readonly [K in keyof ClientServices]: () => ClientServices[K] };

/** The services of a source with some replaced. Those that nobody asks for are never made. */
export function joinServices(source: ServiceSource, overrides: ServiceOverrides): ClientServices {
  return new JoinedServices(source, overrides);
}

type Name = keyof ClientServices;

class JoinedServices implements ClientServices {
  readonly #source: ServiceSource;
  readonly #made: { -readonly [K in Name]?: ClientServices[K] };
  readonly #ownSnapshotters: ReadonlyMap<string, Snapshotter>;

  constructor(source: ServiceSource, overrides: ServiceOverrides) {
    const { snapshotters, ...own } = overrides;
    this.#source = source;
    this.#made = { ...own };
    this.#ownSnapshotters = snapshotters ?? new Map();
  }

  #get<K extends Name>(name: K): ClientServices[K] {
    const made: ClientServices[K] | undefined = this.#made[name];
    if (made !== undefined) return made;
    const service = this.#source[name]();
    this.#made[name] = service;
    return service;
  }

  get containerService(): ContainerStore {
    return this.#get("containerService");
  }

  get contentStore(): ContentStore {
    return this.#get("contentStore");
  }

  get diffService(): Differ {
    return this.#get("diffService");
  }

  get eventService(): EventService {
    return this.#get("eventService");
  }

  get imageService(): ImageService {
    return this.#get("imageService");
  }

  get leasesService(): LeaseManager {
    return this.#get("leasesService");
  }

  get namespaceService(): NamespaceStore {
    return this.#get("namespaceService");
  }

  get operationService(): OperationService {
    return this.#get("operationService");
  }

  get pullService(): PullService {
    return this.#get("pullService");
  }

  get snapshotters(): SnapshotterLookup {
    return { get: (name) => this.#ownSnapshotters.get(name) ?? this.#get("snapshotters").get(name) };
  }

  get taskService(): TaskService {
    return this.#get("taskService");
  }

  get transferService(): TransferClient {
    return this.#get("transferService");
  }

  get sandboxStore(): SandboxStore {
    return this.#get("sandboxStore");
  }

  get introspectionService(): IntrospectionService {
    return this.#get("introspectionService");
  }

  get versionService(): VersionService {
    return this.#get("versionService");
  }
}
