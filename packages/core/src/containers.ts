/**
 * The container store: what containers are made from.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { Any, Labels, Timestamp } from "./records.ts";

/** Runtime of a container: name (`io.containerd.runc.v2`) and its options. */
export interface ContainerRuntime {
  name: string;
  options: Any | undefined;
}

/** A container record. `spec` is the OCI runtime spec as JSON in an Any. */
export interface Container {
  id: string;
  labels: Labels;
  image: string;
  runtime: ContainerRuntime | undefined;
  spec: Any | undefined;
  snapshotter: string;
  snapshotKey: string;
  createdAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
  extensions: Map<string, Any>;
  /** Sandbox that the container belongs to; empty when none. */
  sandbox: string;
}

export interface ContainerStore {
  /** @throws `not-found` */
  get(ctx: CallContext, id: string): Promise<Container>;
  list(ctx: CallContext, filters: readonly string[]): Promise<Container[]>;
  /** @throws `already-exists`, `invalid-argument` */
  create(ctx: CallContext, container: Container): Promise<Container>;
  /**
   * Paths: `labels`, `labels.<k>`, `spec`, `extensions`, `extensions.<k>`, `image`, `snapshotkey`; empty = all.
   *
   * @throws `not-found`, `invalid-argument`
   */
  update(ctx: CallContext, container: Container, mask: readonly string[]): Promise<Container>;
  /** @throws `not-found` */
  delete(ctx: CallContext, id: string): Promise<void>;
}
