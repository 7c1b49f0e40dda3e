/**
 * Makes tasks: bundle, shim, connection, Create.
 *
 * @module
 */
import { constants } from "node:os";
import type { CallContext } from "@ctrd/core/context";
import { diskError, isKind, messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Any } from "@ctrd/core/records";
import type { CreateTaskOptions } from "@ctrd/core/tasks";
import { traced } from "@ctrd/core/tracing";
import { managerNeeds, refuseManaged } from "@ctrd/sys";
import type { Endpoint } from "./address.ts";
import { parseEndpoint } from "./address.ts";
import { Bundle } from "./bundle.ts";
import { connectShim } from "./connect.ts";
import { cleanUpDeadShim, createBundle, removeBundle } from "./dead-shim.ts";
import type { RuntimeDirs } from "./layout.ts";
import { killUnanswering, launchShim, shutDownShim } from "./launch.ts";
import { isUnanswered, withinLimit } from "./limits.ts";
import type { ShimManager } from "./manager.ts";
import { runtimeInfo } from "./shim-binary.ts";
import type { ShimParts } from "./shim.ts";
import { TaskClient } from "./task-client.ts";

/** A created task's shim, and the pid of its init process. */
export interface CreatedTask {
  parts: ShimParts;
  pid: number;
}

/** Options for shim and Create: the task's own when they hold something, else the container's. */
export function effectiveOptions(options: CreateTaskOptions): Any | undefined {
  const { taskOptions, runtimeOptions } = options;
  return taskOptions !== undefined && taskOptions.value.length > 0 ? taskOptions : runtimeOptions;
}

/**
 * Creates a task. On failure bundle, shim and mounts are gone.
 *
 * @throws ContainerdError of the lookup, of `start` and of the shim's Create
 */
export async function createTask(
  ctx: CallContext,
  manager: ShimManager,
  dirs: RuntimeDirs,
  id: string,
  options: CreateTaskOptions,
): Promise<CreatedTask> {
  await checkRootfs(ctx, manager, options);
  const bundle = new Bundle(dirs, ctx.namespace, id);
  const [made, looked] = await Promise.allSettled([
    traced(ctx, "task.bundle", {}, () => createBundle(manager, bundle, options.spec.value)),
    manager.lookup.program(options.runtime),
  ]);
  if (made.status === "rejected") throw diskError(`create task ${id}`, made.reason);
  let parts: ShimParts | undefined;
  try {
    if (looked.status === "rejected") throw looked.reason;
    ctx.signal.throwIfAborted();
    const joined = await sandboxEndpoint(ctx, dirs, manager, options);
    parts =
      joined === undefined
        ? await launchShim(ctx, manager, bundle, looked.value, effectiveOptions(options))
        : await join(manager, bundle, joined, options.sandboxId ?? "", looked.value.path);
    ctx.signal.throwIfAborted();
    const { pid } = await callCreate(ctx, manager, parts, options);
    return { parts, pid };
  } catch (error) {
    if (parts === undefined) await removeBundle(manager, bundle);
    else await discard(manager, parts, isUnanswered(error));
    throw diskError(`create task ${id}`, error);
  }
}

/** Annotation of a runtime's information: types of mounts, comma-separated, that its shim does itself. */
const allowedMounts = "containerd.io/runtime-allow-mounts";

/**
 * Refuses a rootfs that needs a mount manager, unless the shim says that it does such mounts itself. It is asked only
 * then.
 *
 * @throws ContainerdError as `refuseManaged`
 */
async function checkRootfs(ctx: CallContext, manager: ShimManager, options: CreateTaskOptions): Promise<void> {
  const { rootfs, runtime } = options;
  if (rootfs.every((mount) => managerNeeds(mount) === undefined)) return;
  const allowed = await mountsOfShim(await manager.lookup.path(runtime), effectiveOptions(options), ctx.signal);
  refuseManaged(rootfs, allowed);
}

async function mountsOfShim(path: string, options: Any | undefined, signal: AbortSignal): Promise<Set<string>> {
  try {
    const { annotations } = await runtimeInfo(path, options, signal);
    return new Set(
      annotations
        .get(allowedMounts)
        ?.split(",")
        .map((entry) => entry.trim()),
    );
  } catch (error) {
    // A 1.x shim, which knows no such mounts.
    if (isKind(error, "not-implemented")) return new Set();
    throw error;
  }
}

/** Connects to the shim of a sandbox. */
async function join(
  manager: ShimManager,
  bundle: Bundle,
  endpoint: Endpoint,
  sandboxId: string,
  binary: string,
): Promise<ShimParts> {
  await Promise.all([bundle.writeSandbox(sandboxId), bundle.writeEndpoint(endpoint), bundle.writeShimBinary(binary)]);
  const stage = { limit: "start", name: "connect", shim: binary } as const;
  const connection = await withinLimit(manager, stage, (timeoutMs) =>
    connectShim(endpoint, { timeoutMs, retry: false }),
  );
  const client = new TaskClient(connection, endpoint.version, bundle.namespace);
  return { bundle, endpoint, client, binary, log: undefined, sandboxed: true, session: undefined };
}

/** The endpoint of the sandbox's shim when the container joins one that serves version 3; else a shim is started. */
async function sandboxEndpoint(
  ctx: CallContext,
  dirs: RuntimeDirs,
  manager: ShimManager,
  options: CreateTaskOptions,
): Promise<Endpoint | undefined> {
  const sandboxId = options.sandboxId ?? "";
  if (sandboxId === "" || manager.sandboxes === undefined) return undefined;
  try {
    await manager.sandboxes.get(ctx, sandboxId);
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
  const address = options.taskApiAddress ?? "";
  const endpoint =
    address === ""
      ? (manager.sandboxEndpoints.get(`${ctx.namespace}/${sandboxId}`) ??
        (await new Bundle(dirs, ctx.namespace, sandboxId).readEndpoint()))
      : parseEndpoint(address, options.taskApiVersion ?? 0);
  return endpoint !== undefined && endpoint.version >= 3 ? endpoint : undefined;
}

/**
 * Calls Create. A caller that gives up is not followed at once: the shim goes on creating, and a Delete that it sees
 * before it knows the container would find nothing. So the answer is awaited for as long as clean-up may take.
 */
async function callCreate(
  ctx: CallContext,
  manager: ShimManager,
  parts: ShimParts,
  options: CreateTaskOptions,
): Promise<{ pid: number }> {
  const { bundle, client } = parts;
  const { stdin, stdout, stderr, terminal } = options.io;
  const request = {
    id: bundle.id,
    bundle: bundle.path,
    rootfs: [...options.rootfs],
    terminal,
    stdin,
    stdout,
    stderr,
    checkpoint: options.checkpoint ?? "",
    parentCheckpoint: "",
    options: effectiveOptions(options),
  };
  const patience = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const giveUp = (): void => {
    timer = setTimeout(() => patience.abort(ctx.signal.reason), manager.timeouts.cleanup);
  };
  ctx.signal.addEventListener("abort", giveUp, { once: true });
  try {
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.create");
    const stage = { limit: "create", name: "Create", shim: parts.binary ?? "" } as const;
    const created = await withinLimit(manager, stage, (timeoutMs) =>
      client.call("create", request, {
        signal: patience.signal,
        span: ctx.span,
        operation: ctx.operation,
        ...(timeoutMs && { timeoutMs }),
      }),
    );
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.created");
    ctx.signal.throwIfAborted();
    return created;
  } finally {
    ctx.signal.removeEventListener("abort", giveUp);
    clearTimeout(timer);
  }
}

/** Ends a shim whose Create failed, with whatever it had made already. */
async function discard(manager: ShimManager, parts: ShimParts, unanswering: boolean): Promise<void> {
  const { bundle, client, binary } = parts;
  const clean = !unanswering && (await deleteFailed(manager, parts));
  if (!parts.sandboxed) {
    if (unanswering) await killUnanswering(manager, bundle, parts.session);
    else await shutDownShim(manager, bundle, client);
  }
  client.connection.close();
  parts.log?.close();
  if (clean) await removeBundle(manager, bundle);
  else await cleanUpDeadShim(manager, bundle, binary, 0);
}

/**
 * Deletes what a shim has of a failed task. A container that was created after all is killed first: deleting a created
 * one takes runc two seconds.
 *
 * @returns whether the shim has nothing more of it
 */
async function deleteFailed(manager: ShimManager, { bundle, client }: ShimParts): Promise<boolean> {
  const target = { id: bundle.id, execId: "" };
  const limits = { timeoutMs: manager.timeouts.cleanup };
  try {
    await client.call("kill", { ...target, signal: constants.signals.SIGKILL, all: false }, limits);
    await client.call("wait", target, limits);
  } catch (error) {
    // Usually there is no container, or its process has ended; Delete tells.
    if (!isKind(error, "not-found")) manager.log.debug({ task: bundle.id, err: messageOf(error) }, "kill failed task");
  }
  try {
    await client.call("delete", target, limits);
    return true;
  } catch (error) {
    if (isKind(error, "not-found")) return true;
    manager.log.debug({ task: bundle.id, err: messageOf(error) }, "delete failed task");
    return false;
  }
}
