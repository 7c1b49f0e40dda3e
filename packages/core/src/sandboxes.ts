/**
 * Sandboxes: their records, and the controllers that run them.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any, Labels, Mount, Platform, Timestamp } from "./records.ts";

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

export const SandboxControllerPlugin: PluginType<SandboxController> = pluginType("io.containerd.sandbox.controller.v1");
/** Controllers that run pods of CRI by containers of their own. */
export const PodSandboxPlugin: PluginType<SandboxController> = pluginType("io.containerd.podsandbox.controller.v1");

/** What a sandbox is made with. */
export interface CreateSandboxOptions {
  rootfs?: readonly Mount[];
  /** Options of the controller. */
  options?: Any | undefined;
  /** Path of the network namespace; empty when the sandbox has the host's. */
  netnsPath?: string;
  annotations?: Labels;
}

/** A sandbox that was started. */
export interface SandboxInstance {
  pid: number;
  createdAt: Timestamp | undefined;
  labels: Labels;
  /** Where the tasks of its containers are served, and with which version of the task API. */
  address: string;
  version: number;
  spec: Any | undefined;
}

/** What a sandbox does. `state` is `SANDBOX_READY` or `SANDBOX_NOTREADY`; `info` is filled on verbose requests. */
export interface SandboxStatus {
  pid: number;
  state: string;
  info: Map<string, string>;
  createdAt: Timestamp | undefined;
  exitedAt: Timestamp | undefined;
  extra: Any | undefined;
  address: string;
  version: number;
}

/** Runs sandboxes. Each method but `create` throws `not-found` for a sandbox that it does not have. */
export interface SandboxController {
  /** @throws `already-exists` */
  create(ctx: CallContext, sandbox: Sandbox, options?: CreateSandboxOptions): Promise<void>;
  start(ctx: CallContext, id: string): Promise<SandboxInstance>;
  platform(ctx: CallContext, id: string): Promise<Platform>;
  /** Stops it; forcibly after `timeoutSeconds`, 0 meaning the controller's own limit. */
  stop(ctx: CallContext, id: string, timeoutSeconds: number): Promise<void>;
  /** Resolves when it has ended. */
  wait(ctx: CallContext, id: string): Promise<{ exitStatus: number; exitedAt: Timestamp | undefined }>;
  status(ctx: CallContext, id: string, verbose: boolean): Promise<SandboxStatus>;
  /** Removes what the controller has of it. */
  shutdown(ctx: CallContext, id: string): Promise<void>;
  metrics(
    ctx: CallContext,
    id: string,
  ): Promise<{ timestamp: Timestamp | undefined; id: string; data: Any | undefined }>;
  /** Tells of a changed record; `fields` names what changed. */
  update(ctx: CallContext, sandbox: Sandbox, fields: readonly string[]): Promise<void>;
}
