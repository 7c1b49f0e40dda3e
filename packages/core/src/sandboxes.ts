/**
 * Sandboxes: their records.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any, Labels, Timestamp } from "./records.ts";

export const SandboxStorePlugin: PluginType<SandboxStore> = pluginType("io.containerd.sandbox.store.v1");

export interface Sandbox {
  sandboxId: string;
  runtime: { name: string; options: Any | undefined } | undefined;
  spec: Any | undefined;
  labels: Labels;
  createdAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
  extensions: Map<string, Any>;
  /** Name of the controller that runs it. */
  sandboxer: string;
}

export interface SandboxStore {
  /** @throws `already-exists`, `invalid-argument` */
  create(ctx: CallContext, sandbox: Sandbox): Promise<Sandbox>;
  /** Paths: `labels`, `labels.<k>`, `extensions`, `extensions.<k>`, `spec`, `runtime`; empty = all. */
  update(ctx: CallContext, sandbox: Sandbox, mask: readonly string[]): Promise<Sandbox>;
  /** @throws `not-found` */
  get(ctx: CallContext, id: string): Promise<Sandbox>;
  list(ctx: CallContext, filters: readonly string[]): Promise<Sandbox[]>;
  /** @throws `not-found` */
  delete(ctx: CallContext, id: string): Promise<void>;
}
