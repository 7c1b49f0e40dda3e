/**
 * The metadata store: namespaced views of every backend, in one database.
 *
 * @module
 */
import type { ContainerStore } from "./containers.ts";
import type { ContentStore } from "./content.ts";
import type { GarbageCollector } from "./gc.ts";
import type { ImageStore } from "./images.ts";
import type { LeaseManager } from "./leases.ts";
import type { NamespaceStore } from "./namespaces.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { SandboxStore } from "./sandboxes.ts";
import type { Snapshotter } from "./snapshots.ts";

export const MetadataPlugin: PluginType<MetadataStore> = pluginType("io.containerd.metadata.v1");

/** Everything the daemon remembers. */
export interface MetadataStore extends GarbageCollector {
  readonly content: ContentStore;
  /** Namespaced snapshotters by name. */
  readonly snapshotters: ReadonlyMap<string, Snapshotter>;
  readonly images: ImageStore;
  readonly containers: ContainerStore;
  readonly leases: LeaseManager;
  readonly namespaces: NamespaceStore;
  readonly sandboxes: SandboxStore;
  close(): Promise<void>;
}
