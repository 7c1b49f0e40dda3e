/**
 * References to the daemon's service plugins (`io.containerd.service.v1`): one component interface each, which the
 * gRPC plugins expose and in-process clients use.
 *
 * @module
 */
import type { ContainerStore } from "./containers.ts";
import type { ContentStore } from "./content.ts";
import type { Differ } from "./diff.ts";
import type { ImageStore } from "./images.ts";
import type { IntrospectionService } from "./introspection.ts";
import type { CallContext } from "./context.ts";
import type { DeleteImageOptions } from "./images.ts";
import type { NamespaceStore } from "./namespaces.ts";
import type { PluginRef, PluginType } from "./plugin/index.ts";
import { pluginRef, pluginType } from "./plugin/index.ts";
import type { SnapshotterLookup } from "./snapshots.ts";
import type { ObservableTaskService } from "./tasks.ts";

export const ServicePlugin: PluginType<unknown> = pluginType("io.containerd.service.v1");

/** The images service: the store, plus a delete that can wait for collection. */
export interface ImageService extends ImageStore {
  delete(ctx: CallContext, name: string, options?: DeleteImageOptions & { sync?: boolean }): Promise<void>;
}

export const ContainersService: PluginRef<ContainerStore> = pluginRef(ServicePlugin, "containers-service");
export const ContentService: PluginRef<ContentStore> = pluginRef(ServicePlugin, "content-service");
export const DiffService: PluginRef<Differ> = pluginRef(ServicePlugin, "diff-service");
export const ImagesService: PluginRef<ImageService> = pluginRef(ServicePlugin, "images-service");
export const IntrospectionServiceRef: PluginRef<IntrospectionService> = pluginRef(
  ServicePlugin,
  "introspection-service",
);
export const NamespacesService: PluginRef<NamespaceStore> = pluginRef(ServicePlugin, "namespaces-service");
export const SnapshotsService: PluginRef<SnapshotterLookup> = pluginRef(ServicePlugin, "snapshots-service");
export const TasksService: PluginRef<ObservableTaskService> = pluginRef(ServicePlugin, "tasks-service");

/** A listener of the daemon. The daemon starts every server plugin once all plugins are initialised. */
export interface DaemonServer {
  /** Where it listens, for logs; empty when it is switched off. */
  readonly address: string;
  /** Starts listening. @throws `failed-precondition` when the address is in use, naming it and the remedy */
  start(): Promise<void>;
  /** Stops accepting and ends calls gracefully; open streams are cancelled after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export const ServerPlugin: PluginType<DaemonServer> = pluginType("io.containerd.server.v1");
