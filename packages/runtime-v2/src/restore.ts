/**
 * Finds the shims of an earlier daemon.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { errnoOf, isKind, messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Endpoint } from "./address.ts";
import { defaultSocketDir, usualSocketAddress } from "./address.ts";
import { Bundle } from "./bundle.ts";
import { connectShim } from "./connect.ts";
import { cleanUpDeadShim, removeBundle } from "./dead-shim.ts";
import type { RuntimeDirs } from "./layout.ts";
import { BundleFile, bundlePath } from "./layout.ts";
import type { ShimManager } from "./manager.ts";
import { SandboxClient } from "./sandbox-client.ts";
import { ShimLog } from "./shim-log.ts";
import type { ShimParts } from "./shim.ts";
import { isClosed, TaskClient } from "./task-client.ts";

/** Bundles that are looked at in parallel. */
const parallel = 16;

/** A shim that lives. */
export interface RestoredShim {
  parts: ShimParts;
  /** Pid of the init process; 0 of a sandbox. */
  pid: number;
}

/** What the bundles are of. */
export type BundleKind = "task" | "sandbox";

/**
 * Goes through all bundles: yields the shims that live, cleans up after those that do not, and removes work
 * directories without a bundle. One bundle's failure is logged and does not keep the others.
 */
export async function* restoreShims(
  manager: ShimManager,
  dirs: RuntimeDirs,
  kind: BundleKind = "task",
): AsyncGenerator<RestoredShim> {
  const bundles: Bundle[] = [];
  for (const namespace of await directories(dirs.state)) {
    if (namespace.startsWith(".")) continue;
    for (const id of await directories(join(dirs.state, namespace))) {
      if (id.startsWith(".")) await removeHalfRemoved(manager, dirs, namespace, id.slice(1));
      else bundles.push(new Bundle(dirs, namespace, id));
    }
  }
  for (let at = 0; at < bundles.length; at += parallel) {
    const some = bundles.slice(at, at + parallel);
    const restored = await Promise.all(some.map((bundle) => restoreOne(manager, bundle, kind)));
    for (const shim of restored) {
      if (shim !== undefined) yield shim;
    }
  }
  await removeOrphanedWork(manager, dirs);
}

async function restoreOne(manager: ShimManager, bundle: Bundle, kind: BundleKind): Promise<RestoredShim | undefined> {
  try {
    if ((await readdir(bundle.path)).length === 0) {
      await removeBundle(manager, bundle);
      return undefined;
    }
    const binary = await binaryOf(manager, bundle);
    if (binary === undefined) {
      await removeBundle(manager, bundle);
      return undefined;
    }
    return await reconnect(manager, bundle, kind, binary);
  } catch (error) {
    manager.log.error({ bundle: bundle.path, err: messageOf(error) }, `restore ${kind}`);
    return undefined;
  }
}

/** Path of the shim's binary: as the bundle says, else by the container's runtime; undefined when neither is known. */
async function binaryOf(manager: ShimManager, bundle: Bundle): Promise<string | undefined> {
  const saved = await bundle.read(BundleFile.shimBinary);
  if (saved !== undefined && saved !== "") return saved;
  const ctx = createContext({ namespace: bundle.namespace, log: manager.log });
  try {
    const container = await manager.containers?.get(ctx, bundle.id);
    return container?.runtime === undefined ? undefined : await manager.lookup.path(container.runtime.name);
  } catch (error) {
    manager.log.error({ bundle: bundle.path, err: messageOf(error) }, "find the shim binary of a bundle");
    return undefined;
  }
}

async function reconnect(
  manager: ShimManager,
  bundle: Bundle,
  kind: BundleKind,
  binary: string,
): Promise<RestoredShim | undefined> {
  const deadline = Date.now() + manager.timeouts.load;
  let client: TaskClient | undefined;
  let endpoint: Endpoint;
  let pid: number;
  // First: a shim that was just being started opens its log before it serves, and waits for a reader.
  const log = openLog(manager, bundle);
  try {
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.reconnect");
    endpoint = (await bundle.readEndpoint()) ?? usualEndpoint(manager, bundle);
    const connection = await connectShim(endpoint, { timeoutMs: manager.timeouts.load, retry: false });
    client = new TaskClient(connection, endpoint.version, bundle.namespace);
    pid = kind === "sandbox" ? 0 : await initPid(client, bundle, Math.max(1, deadline - Date.now()));
  } catch (error) {
    manager.log.warn({ bundle: bundle.path, err: messageOf(error) }, "reconnect to shim");
    client?.connection.close();
    log?.close();
    await cleanUpDeadShim(manager, bundle, binary, 0);
    return undefined;
  }
  const sandboxed = endpoint.version >= 3 && (await bundle.read(BundleFile.sandbox)) !== undefined;
  const parts: ShimParts = { bundle, endpoint, client, binary, log, sandboxed };
  const wanted =
    kind === "sandbox" ? isSandbox(manager, bundle) : hasTask(manager, parts, Math.max(1, deadline - Date.now()));
  if (await wanted) return { parts, pid };
  manager.log.info({ bundle: bundle.path }, `end shim without ${kind}`);
  await endEmptyShim(manager, parts, kind);
  return undefined;
}

/** 0 when the shim has no such task. */
async function initPid(client: TaskClient, bundle: Bundle, timeoutMs: number): Promise<number> {
  try {
    return (await client.call("connect", { id: bundle.id }, { timeoutMs })).taskPid;
  } catch (error) {
    if (isKind(error, "not-found")) return 0;
    throw error;
  }
}

/** Where a Go shim listens when the daemon died before it could note the answer of `start`. */
function usualEndpoint(manager: ShimManager, bundle: Bundle): Endpoint {
  const { socketDir, grpcAddress } = manager.settings;
  const dir = socketDir === "" ? defaultSocketDir : socketDir;
  return { version: 2, protocol: "ttrpc", address: usualSocketAddress(dir, grpcAddress, bundle.namespace, bundle.id) };
}

/**
 * Whether the shim has a task, or belongs to a sandbox. A shim without one was left by a daemon that died between
 * `start` and Create. A stopped task has no pids but is one: it waits to be deleted.
 */
async function hasTask(manager: ShimManager, parts: ShimParts, timeoutMs: number): Promise<boolean> {
  const { client, bundle } = parts;
  if (await isSandbox(manager, bundle)) return true;
  try {
    const { processes } = await client.call("pids", { id: bundle.id }, { timeoutMs });
    if (processes.length > 0) return true;
    await client.call("state", { id: bundle.id, execId: "" }, { timeoutMs });
    return true;
  } catch (error) {
    return !isKind(error, "not-found");
  }
}

async function isSandbox(manager: ShimManager, bundle: Bundle): Promise<boolean> {
  if (manager.sandboxes === undefined) return false;
  try {
    await manager.sandboxes.get(createContext({ namespace: bundle.namespace, log: manager.log }), bundle.id);
    return true;
  } catch (error) {
    return !isKind(error, "not-found");
  }
}

async function endEmptyShim(manager: ShimManager, parts: ShimParts, kind: BundleKind): Promise<void> {
  const { client, bundle, sandboxed, binary = "" } = parts;
  const limits = { timeoutMs: manager.timeouts.shutdown };
  try {
    if (kind === "sandbox") {
      const sandbox = new SandboxClient(client.connection, binary, bundle.namespace);
      await sandbox.call("shutdownSandbox", { sandboxId: bundle.id }, limits);
    } else if (!sandboxed) await client.call("shutdown", { id: bundle.id, now: false }, limits);
  } catch (error) {
    if (!isClosed(error)) manager.log.error({ bundle: bundle.path, err: messageOf(error) }, "shut down shim");
  }
  client.connection.close();
  parts.log?.close();
  // The container may exist in runc although the shim forgot it.
  await cleanUpDeadShim(manager, bundle, parts.binary, 0);
}

function openLog(manager: ShimManager, bundle: Bundle): ShimLog | undefined {
  try {
    return new ShimLog(bundle.file(BundleFile.log), manager.log.child({ task: bundle.id }));
  } catch (error) {
    manager.log.warn({ bundle: bundle.path, err: messageOf(error) }, "open shim log");
    return undefined;
  }
}

/** Finishes the removal of a bundle that a crash interrupted. */
async function removeHalfRemoved(
  manager: ShimManager,
  dirs: RuntimeDirs,
  namespace: string,
  id: string,
): Promise<void> {
  await removeBundle(manager, new Bundle(dirs, namespace, `.${id}`));
}

/** After a reboot the bundles are gone, the work directories are not. */
async function removeOrphanedWork(manager: ShimManager, dirs: RuntimeDirs): Promise<void> {
  for (const namespace of await directories(dirs.root)) {
    for (const id of await directories(join(dirs.root, namespace))) {
      if (existsSync(bundlePath(dirs, namespace, id))) continue;
      const path = join(dirs.root, namespace, id);
      try {
        await rm(path, { recursive: true, force: true });
      } catch (error) {
        manager.log.error({ path, err: messageOf(error) }, "remove work directory");
      }
    }
  }
}

async function directories(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
