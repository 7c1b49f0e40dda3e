/**
 * A client of a daemon in the same process: no socket, no encoding.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, notImplemented } from "@ctrd/core/errors";
import { EventPlugin } from "@ctrd/core/events";
import { ImageVerifierPlugin } from "@ctrd/core/image-verifier";
import { LeasePlugin } from "@ctrd/core/leases";
import { MetadataPlugin } from "@ctrd/core/metadata";
import { operationService, OperationsPlugin } from "@ctrd/core/operations";
import type { PluginRef, PluginType } from "@ctrd/core/plugin";
import { pluginRef } from "@ctrd/core/plugin";
import { PullsPlugin } from "@ctrd/core/pulls";
import { SandboxStorePlugin } from "@ctrd/core/sandboxes";
import {
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  IntrospectionServiceRef,
  NamespacesService,
  SnapshotsService,
  TasksService,
} from "@ctrd/core/services";
import type { GrpcService, VersionInfo } from "@ctrd/services";
import { GrpcPlugin } from "@ctrd/services";
import type { ClientOptions } from "./client.ts";
import { Client } from "./client.ts";
import type { ServiceOverrides, ServiceSource, VersionService } from "./services.ts";
import { joinServices } from "./services.ts";

/** What {@link fromDaemon} needs of a daemon; that of `@ctrd/server` fits. */
export interface EmbeddedDaemon {
  find<T>(ref: PluginRef<T>): T | undefined;
  getAll<T>(type: PluginType<T>): T[];
}

/**
 * A client over the plugins of a daemon that runs in this process. Closing it leaves the daemon running. A service that
 * the daemon lacks is missed when it is used.
 *
 * ```ts
 * const daemon = await startDaemon({ plugins: builtins, config: { root, state } });
 * await using client = fromDaemon(daemon, { namespace: "default" });
 * ```
 */
export function fromDaemon(daemon: EmbeddedDaemon, options: ClientOptions & ServiceOverrides = {}): Client {
  return new Client(options, {
    services: joinServices(daemonServices(daemon), options),
    verifiers: () =>
      new Map(daemon.getAll(ImageVerifierPlugin).map((one, index) => [`${index + 1} of the daemon`, one])),
    isServing: async () => daemon.getAll(MetadataPlugin).length > 0,
    close: () => {},
  });
}

function daemonServices(daemon: EmbeddedDaemon): ServiceSource {
  const one = <T>(ref: PluginRef<T>): T => present(daemon.find(ref), `${ref.type.name}.${ref.id}`);
  const only = <T>(type: PluginType<T>): T => present(daemon.getAll(type)[0], type.name);
  return {
    containerService: () => one(ContainersService),
    contentStore: () => one(ContentService),
    diffService: () => one(DiffService),
    eventService: () => only(EventPlugin),
    imageService: () => one(ImagesService),
    leasesService: () => only(LeasePlugin),
    namespaceService: () => one(NamespacesService),
    operationService: () => operationService(only(OperationsPlugin)),
    pullService: () => only(PullsPlugin),
    snapshotters: () => one(SnapshotsService),
    taskService: () => one(TasksService),
    // A client in the daemon's process pulls into its stores just as directly.
    transferService: () => {
      throw notImplemented("transfers of a daemon in this process: use pull, push, import and export");
    },
    sandboxStore: () => only(SandboxStorePlugin),
    introspectionService: () => one(IntrospectionServiceRef),
    versionService: () => versionService(one(pluginRef<GrpcService>(GrpcPlugin, "version"))),
  };
}

/** The daemon's version is no component; the plugin that serves it is the only one to know it. */
function versionService({ services }: GrpcService): VersionService {
  const handler = present(services[0]?.handlers["version"], "handler of the Version service");
  const version = handler as unknown as (ctx: CallContext, request: object) => Promise<VersionInfo>;
  return { version: (ctx) => version(ctx, {}) };
}

function present<T>(plugin: T | undefined, name: string): T {
  if (plugin !== undefined) return plugin;
  throw failedPrecondition(
    `the daemon has no plugin ${name}, or it is not running; replace the service or add the plugin`,
  );
}
