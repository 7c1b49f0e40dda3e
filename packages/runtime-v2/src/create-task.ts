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
import { cleanUpDeadShim, removeBundle } from "./dead-shim.ts";
import type { RuntimeDirs } from "./layout.ts";
import { BundleFile } from "./layout.ts";
import type { ShimManager } from "./manager.ts";
import { runtimeInfo, startShim } from "./shim-binary.ts";
import { ShimLog } from "./shim-log.ts";
import type { ShimParts } from "./shim.ts";
import { isClosed, TaskClient } from "./task-client.ts";

/** How long a new shim may take until it serves its socket. */
const dialTimeoutMs = 100_000;

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
        ? await launch(ctx, manager, bundle, looked.value, effectiveOptions(options))
        : await join(bundle, joined, options.sandboxId ?? "", looked.value.path);
    ctx.signal.throwIfAborted();
    const { pid } = await callCreate(ctx, manager, parts, options);
    return { parts, pid };
  } catch (error) {
    if (parts === undefined) await removeBundle(manager, bundle);
    else await discard(manager, parts);
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

/** A bundle of this name that no task owns was left by a crash: it is cleaned up first. */
async function createBundle(manager: ShimManager, bundle: Bundle, spec: Uint8Array): Promise<void> {
  try {
    await bundle.create(spec);
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
    manager.log.warn({ bundle: bundle.path }, "clean up left bundle");
    await cleanUpDeadShim(manager, bundle, await bundle.read(BundleFile.shimBinary), 0);
    await bundle.create(spec);
  }
}

/** Starts a shim and connects to it. On failure nothing of it stays but the bundle. */
async function launch(
  ctx: CallContext,
  manager: ShimManager,
  bundle: Bundle,
  program: Awaited<ReturnType<ShimManager["lookup"]["program"]>>,
  options: Any | undefined,
): Promise<ShimParts> {
  const log = new ShimLog(bundle.file(BundleFile.log), manager.log.child({ task: bundle.id }));
  try {
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.start");
    // Not stopped by the caller's signal: half-started, it could not be found again to be ended.
    const signal = AbortSignal.timeout(dialTimeoutMs);
    const [started, noted] = await Promise.allSettled([
      traced(ctx, "shim.start", { "shim.path": program.path }, () =>
        startShim(manager.lookup, program, bundle, manager.settings, options, signal),
      ),
      bundle.writeShimBinary(program.path),
    ]);
    if (started.status === "rejected") throw started.reason;
    const endpoint = started.value;
    try {
      if (noted.status === "rejected") throw noted.reason;
      FAILPOINT: if (failpoints.on) await failpoints.at("shim.connect");
      const client = await traced(ctx, "shim.connect", {}, () => connectNoted(bundle, endpoint));
      return { bundle, endpoint, client, binary: program.path, log, sandboxed: false };
    } catch (error) {
      await endStarted(manager, bundle, endpoint);
      throw error;
    }
  } catch (error) {
    log.close();
    throw error;
  }
}

/** Connects to a started shim, and notes in the bundle how. */
async function connectNoted(bundle: Bundle, endpoint: Endpoint): Promise<TaskClient> {
  const [connected, noted] = await Promise.allSettled([
    connectShim(endpoint, { timeoutMs: dialTimeoutMs, retry: true }),
    bundle.writeEndpoint(endpoint),
  ]);
  if (connected.status === "rejected") throw connected.reason;
  if (noted.status === "fulfilled") return new TaskClient(connected.value, endpoint.version, bundle.namespace);
  connected.value.close();
  throw noted.reason;
}

/** Ends a shim that was started in vain. Once its bundle is gone nobody would find it again. */
async function endStarted(manager: ShimManager, bundle: Bundle, endpoint: Endpoint): Promise<void> {
  try {
    const connection = await connectShim(endpoint, { timeoutMs: manager.timeouts.shutdown, retry: true });
    await shutDown(manager, bundle, new TaskClient(connection, endpoint.version, bundle.namespace));
    connection.close();
  } catch (error) {
    manager.log.error({ task: bundle.id, err: messageOf(error) }, "end started shim, it may be left running");
  }
}

/** How long the end of a shim is awaited that has answered to Shutdown. */
const endMs = 200;

/** Asks a shim to end. A failure is logged. */
async function shutDown(manager: ShimManager, bundle: Bundle, client: TaskClient): Promise<void> {
  const closed = new Promise<void>((resolve) => client.connection.onClose(() => resolve()));
  try {
    await client.call("shutdown", { id: bundle.id, now: true }, { timeoutMs: manager.timeouts.shutdown });
    // One that serves its group's other containers answers and stays.
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, endMs))]);
  } catch (error) {
    if (!isClosed(error)) manager.log.warn({ task: bundle.id, err: messageOf(error) }, "shut down shim");
  }
}

/** Connects to the shim of a sandbox. */
async function join(bundle: Bundle, endpoint: Endpoint, sandboxId: string, binary: string): Promise<ShimParts> {
  await Promise.all([bundle.writeSandbox(sandboxId), bundle.writeEndpoint(endpoint), bundle.writeShimBinary(binary)]);
  const connection = await connectShim(endpoint, { timeoutMs: dialTimeoutMs, retry: false });
  const client = new TaskClient(connection, endpoint.version, bundle.namespace);
  return { bundle, endpoint, client, binary, log: undefined, sandboxed: true };
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
      ? await new Bundle(dirs, ctx.namespace, sandboxId).readEndpoint()
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
    const created = await client.call("create", request, { signal: patience.signal, span: ctx.span });
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.created");
    ctx.signal.throwIfAborted();
    return created;
  } finally {
    ctx.signal.removeEventListener("abort", giveUp);
    clearTimeout(timer);
  }
}

/** Ends a shim whose Create failed, with whatever it had made already. */
async function discard(manager: ShimManager, parts: ShimParts): Promise<void> {
  const { bundle, client, binary } = parts;
  const clean = await deleteFailed(manager, parts);
  if (!parts.sandboxed) await shutDown(manager, bundle, client);
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
