/**
 * The sandbox controller `shim`: a sandbox is what its shim makes of it, and the shim serves the tasks of its containers.
 *
 * @module
 */
import { chmod, mkdir } from "node:fs/promises";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, diskError, invalidArgument, isKind, messageOf, notFound, unavailable } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { Any, Platform, Timestamp } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type {
  CreateSandboxOptions,
  Sandbox,
  SandboxController,
  SandboxInstance,
  SandboxStatus,
} from "@ctrd/core/sandboxes";
import { Bundle } from "./bundle.ts";
import { cleanUpDeadShim, createBundle, removeBundle } from "./dead-shim.ts";
import { killUnanswering, launchShim } from "./launch.ts";
import type { RuntimeDirs } from "./layout.ts";
import { isUnanswered, withinLimit } from "./limits.ts";
import type { ShimManager } from "./manager.ts";
import { restoreShims } from "./restore.ts";
import type { SandboxExit } from "./sandbox-shim.ts";
import { SandboxShim } from "./sandbox-shim.ts";
import type { ShimParts } from "./shim.ts";
import { isClosed } from "./task-client.ts";

/** Runs sandboxes in shims that serve the sandbox API. */
export class ShimSandboxController implements SandboxController {
  readonly #manager: ShimManager;
  readonly #dirs: RuntimeDirs;
  readonly #sandboxes: Map<string, SandboxShim> = new Map();
  readonly #creating: Set<string> = new Set();
  /** Clean-ups of lost shims; a sandbox of the same id is made after them. */
  readonly #cleaning: Map<string, Promise<SandboxExit>> = new Map();

  constructor(manager: ShimManager, dirs: RuntimeDirs) {
    this.#manager = manager;
    this.#dirs = dirs;
  }

  /** Reconnects to the shims of sandboxes that are in the store, and ends all others. To be called once, first. */
  async restore(): Promise<void> {
    for await (const { parts } of restoreShims(this.#manager, this.#dirs, "sandbox")) this.#add(parts);
  }

  async create(ctx: CallContext, sandbox: Sandbox, options: CreateSandboxOptions = {}): Promise<void> {
    const { sandboxId: id, runtime } = sandbox;
    const key = keyOf(requireNamespace(ctx), id);
    checkIdentifier("sandbox id", id);
    if (runtime === undefined || runtime.name === "") throw invalidArgument(`sandbox "${id}" names no runtime`);
    if (this.#sandboxes.has(key) || this.#creating.has(key)) throw alreadyExists(`sandbox "${id}"`);
    this.#creating.add(key);
    try {
      await this.#cleaning.get(key);
      await this.#create(ctx, sandbox, { ...runtime }, options);
    } catch (error) {
      throw diskError(`create sandbox ${id}`, error);
    } finally {
      this.#creating.delete(key);
    }
  }

  async #create(
    ctx: CallContext,
    { sandboxId: id, spec }: Sandbox,
    runtime: { name: string; options: Any | undefined },
    { rootfs = [], options, netnsPath = "", annotations = new Map() }: CreateSandboxOptions,
  ): Promise<void> {
    const manager = this.#manager;
    const program = await manager.lookup.program(runtime.name);
    const bundle = new Bundle(this.#dirs, ctx.namespace, id);
    await createBundle(manager, bundle, spec === undefined || spec.value.length === 0 ? undefined : spec.value);
    let shim: SandboxShim | undefined;
    try {
      ctx.signal.throwIfAborted();
      const launched = this.#add(await launchShim(ctx, manager, bundle, program, runtime.options));
      shim = launched;
      const request = {
        ...{ sandboxId: id, bundlePath: bundle.path, rootfs: [...rootfs], options, netnsPath },
        annotations: new Map(annotations),
      };
      await this.#make(ctx, shim, "CreateSandbox", (limits) => launched.client.call("createSandbox", request, limits));
    } catch (error) {
      if (shim === undefined) await removeBundle(manager, bundle);
      else await this.#discard(shim, error);
      throw error;
    }
  }

  async start(ctx: CallContext, id: string): Promise<SandboxInstance> {
    const shim = this.#get(ctx, id);
    try {
      const { pid, createdAt, spec } = await this.#make(ctx, shim, "StartSandbox", (limits) =>
        shim.client.call("startSandbox", { sandboxId: id }, limits),
      );
      return { pid, createdAt, labels: new Map(), ...shim.taskApi, spec };
    } catch (error) {
      await this.#discard(shim, error);
      throw error;
    }
  }

  async platform(ctx: CallContext, id: string): Promise<Platform> {
    const { platform } = await this.#get(ctx, id).client.call("platform", { sandboxId: id }, ctx);
    return { os: "", architecture: "", variant: "", osVersion: "", ...platform };
  }

  async stop(ctx: CallContext, id: string, timeoutSeconds: number): Promise<void> {
    const shim = this.#find(ctx, id);
    if (shim === undefined) return;
    try {
      await shim.client.call("stopSandbox", { sandboxId: id, timeoutSecs: timeoutSeconds }, ctx);
    } catch (error) {
      if (!isKind(error, "not-found") && !isKind(error, "unavailable")) throw error;
    }
  }

  async wait(ctx: CallContext, id: string): Promise<SandboxExit> {
    const shim = this.#get(ctx, id);
    try {
      return await shim.client.call("waitSandbox", { sandboxId: id }, ctx);
    } catch (error) {
      if (!isClosed(error) || shim.lost === undefined) throw error;
      return shim.lost;
    }
  }

  /** An unknown sandbox has ended. */
  async status(ctx: CallContext, id: string, verbose: boolean): Promise<SandboxStatus> {
    const shim = this.#find(ctx, id);
    if (shim === undefined) return ended();
    try {
      const { sandboxId: _, ...status } = await shim.client.call("sandboxStatus", { sandboxId: id, verbose }, ctx);
      return { ...status, ...shim.taskApi };
    } catch (error) {
      if (isClosed(error)) return ended();
      throw error;
    }
  }

  async shutdown(ctx: CallContext, id: string): Promise<void> {
    const shim = this.#get(ctx, id);
    try {
      await this.#make(ctx, shim, "ShutdownSandbox", (limits) =>
        shim.client.call("shutdownSandbox", { sandboxId: id }, limits),
      );
    } catch (error) {
      // One that ends before it answers has done what was asked; one that knows nothing of it has nothing to do.
      if (!isClosed(error) && !isKind(error, "not-found") && !isUnanswered(error)) throw error;
      if (isUnanswered(error)) await killUnanswering(this.#manager, shim.bundle, shim.session);
    }
    await this.#remove(shim);
  }

  async metrics(
    ctx: CallContext,
    id: string,
  ): Promise<{ timestamp: Timestamp | undefined; id: string; data: Any | undefined }> {
    const { metrics } = await this.#get(ctx, id).client.call("sandboxMetrics", { sandboxId: id }, ctx);
    if (metrics === undefined) throw unavailable(`metrics of sandbox "${id}": its shim has none`);
    return metrics;
  }

  async update(): Promise<void> {
    // The sandbox API of shims has no call for it.
  }

  /** Disconnects from every shim; sandboxes go on. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#cleaning.values());
    for (const shim of this.#sandboxes.values()) shim.disconnect();
    this.#sandboxes.clear();
  }

  /** A call that makes or unmakes something: the shim has a limited time for it. */
  #make<T>(
    ctx: CallContext,
    { binary }: SandboxShim,
    name: string,
    call: (limits: { signal: AbortSignal; timeoutMs: number | undefined }) => Promise<T>,
  ): Promise<T> {
    return withinLimit(this.#manager, { limit: "create", name, shim: binary }, (timeoutMs) =>
      call({ signal: ctx.signal, timeoutMs }),
    );
  }

  #find(ctx: CallContext, id: string): SandboxShim | undefined {
    return this.#sandboxes.get(keyOf(requireNamespace(ctx), id));
  }

  #get(ctx: CallContext, id: string): SandboxShim {
    const shim = this.#find(ctx, id);
    if (shim === undefined) throw notFound(`sandbox "${id}"`);
    return shim;
  }

  #add(parts: ShimParts): SandboxShim {
    const shim: SandboxShim = new SandboxShim(parts, () => {
      shim.lost = this.#cleanUpLost(shim);
    });
    const key = keyOf(shim.bundle.namespace, shim.bundle.id);
    this.#sandboxes.set(key, shim);
    this.#manager.sandboxEndpoints.set(key, shim.endpoint);
    return shim;
  }

  #forget({ bundle }: SandboxShim): string {
    const key = keyOf(bundle.namespace, bundle.id);
    this.#sandboxes.delete(key);
    this.#manager.sandboxEndpoints.delete(key);
    return key;
  }

  /** Ends a sandbox that could not be made or started: by force when its shim does not end by itself. */
  async #discard(shim: SandboxShim, error: unknown): Promise<void> {
    if (isUnanswered(error) || !(await this.#ends(shim))) {
      await killUnanswering(this.#manager, shim.bundle, shim.session);
    }
    await this.#remove(shim);
  }

  async #ends(shim: SandboxShim): Promise<boolean> {
    const { id: sandboxId, namespace } = shim.bundle;
    try {
      await shim.client.call("shutdownSandbox", { sandboxId }, { timeoutMs: this.#manager.timeouts.shutdown });
      return true;
    } catch (error) {
      if (isClosed(error)) return true;
      this.#manager.log.warn({ sandbox: sandboxId, namespace, err: messageOf(error) }, "shut down sandbox that failed");
      return false;
    }
  }

  /** Removes what is left of a shim that was asked to end. Whoever waits for the sandbox learns that it has ended. */
  async #remove(shim: SandboxShim): Promise<void> {
    this.#forget(shim);
    shim.lost = shim
      .end(this.#manager.timeouts.shutdown)
      .then(() => cleanUpDeadShim(this.#manager, shim.bundle, shim.binary, 0))
      .then(({ exitStatus, exitedAt }) => ({ exitStatus, exitedAt }));
    await shim.lost;
  }

  async #cleanUpLost(shim: SandboxShim): Promise<SandboxExit> {
    const { bundle, binary } = shim;
    this.#manager.log.warn({ sandbox: bundle.id, namespace: bundle.namespace }, "shim of a sandbox disconnected");
    const key = this.#forget(shim);
    const cleaning = cleanUpDeadShim(this.#manager, bundle, binary, 0);
    this.#cleaning.set(key, cleaning);
    try {
      const { exitStatus, exitedAt } = await cleaning;
      return { exitStatus, exitedAt };
    } finally {
      if (this.#cleaning.get(key) === cleaning) this.#cleaning.delete(key);
    }
  }
}

function ended(): SandboxStatus {
  return {
    ...{ pid: 0, state: "", info: new Map(), address: "", version: 0 },
    ...{ createdAt: undefined, exitedAt: now(), extra: undefined },
  };
}

function keyOf(namespace: string, id: string): string {
  return `${namespace}/${id}`;
}

/** Makes the directories, which are for root alone, and reconnects to the shims that are there. */
export async function openSandboxController(manager: ShimManager, dirs: RuntimeDirs): Promise<ShimSandboxController> {
  for (const directory of [dirs.root, dirs.state]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  }
  const controller = new ShimSandboxController(manager, dirs);
  await controller.restore();
  return controller;
}
