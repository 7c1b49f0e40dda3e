/**
 * Namespaces partition all metadata of the daemon.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { Labels } from "./records.ts";

/** gRPC metadata key of the namespace. */
export const namespaceHeader = "containerd-namespace";
/** ttrpc metadata key of the namespace. */
export const ttrpcNamespaceHeader = "containerd-namespace-ttrpc";
/** gRPC metadata key of the lease. */
export const leaseHeader = "containerd-lease";

export interface Namespace {
  name: string;
  labels: Labels;
}

export interface NamespaceStore {
  /** An unknown name answers a namespace without labels. */
  get(ctx: CallContext, name: string): Promise<Namespace>;
  list(ctx: CallContext): Promise<Namespace[]>;
  /** @throws `already-exists`, `invalid-argument` */
  create(ctx: CallContext, namespace: Namespace): Promise<Namespace>;
  /**
   * Paths: `labels.<k>` only (an empty value deletes); an empty mask replaces all labels. An unknown namespace is made,
   * as containerd does.
   *
   * @throws `invalid-argument`
   */
  update(ctx: CallContext, namespace: Namespace, mask: readonly string[]): Promise<Namespace>;
  /** @throws `not-found`, `failed-precondition` naming what the namespace still holds */
  delete(ctx: CallContext, name: string): Promise<void>;
}
