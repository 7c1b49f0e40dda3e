/**
 * Leases: they keep resources from collection while something is still being built from them.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Labels, Timestamp } from "./records.ts";

export const LeasePlugin: PluginType<LeaseManager> = pluginType("io.containerd.lease.v1");

export interface Lease {
  id: string;
  createdAt: Timestamp | undefined;
  labels: Labels;
}

/** A leased resource: type `content`, `ingests`, `images` or `snapshots/<snapshotter>`; id is digest, ref, name or key. */
export interface LeaseResource {
  id: string;
  type: string;
}

export interface DeleteLeaseOptions {
  /** Wait for one garbage collection. */
  sync?: boolean;
}

export interface LeaseManager {
  /** An empty id is replaced by a generated one. @throws `already-exists` */
  create(ctx: CallContext, lease: { id: string; labels: Labels }): Promise<Lease>;
  /** @throws `not-found` */
  delete(ctx: CallContext, id: string, options?: DeleteLeaseOptions): Promise<void>;
  list(ctx: CallContext, filters: readonly string[]): Promise<Lease[]>;
  /** @throws `not-found`, `invalid-argument` malformed, `not-implemented` another type */
  addResource(ctx: CallContext, id: string, resource: LeaseResource): Promise<void>;
  deleteResource(ctx: CallContext, id: string, resource: LeaseResource): Promise<void>;
  listResources(ctx: CallContext, id: string): Promise<LeaseResource[]>;
}
