/**
 * Checks of what runs: tasks ↔ bundles ↔ shims ↔ processes.
 *
 * @module
 */
import { rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { TaskProcess } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { unmountAll } from "@ctrd/sys";
import { listBundles, probeSocket, socketOf, usualSocket } from "./bundles.ts";
import type { BundleDirectory } from "./bundles.ts";
import { oldSize, unlessMissing, youngMs } from "./files.ts";
import type { Check, Finding } from "./finding.ts";
import { isAlive, shimsOf } from "./processes.ts";
import type { DoctorScope } from "./scope.ts";

/** A task of a namespace. */
export interface NamespacedTask {
  readonly namespace: string;
  readonly id: string;
  readonly process: TaskProcess;
}

/** The tasks of all namespaces. */
export async function allTasks(scope: DoctorScope): Promise<NamespacedTask[]> {
  const all: NamespacedTask[] = [];
  for (const [namespace, client] of await scope.namespaces()) {
    const ctx = client.context({ signal: scope.session.signal });
    const { tasks } = await client.services.taskService.list(ctx, { filter: "" });
    all.push(...tasks.map((process) => ({ namespace, id: process.id || process.containerId, process })));
  }
  return all;
}

const keyOf = ({ namespace, id }: { namespace: string; id: string }): string => `${namespace}/${id}`;

/** Bundles that no task has. */
export const bundles: Check = {
  name: "bundles",
  about: "each bundle has its task",
  async run(scope) {
    const found = await listBundles(scope);
    const shims = new Set((await shimsOf(scope.socket)).map(keyOf));
    const known = new Set((await allTasks(scope)).map(keyOf));
    const sandboxes = await sandboxKeys(scope);
    const findings: Finding[] = [];
    for (const bundle of found) {
      const key = keyOf(bundle);
      // Of a bundle with a shim the check of shims tells; a sandbox has a shim and no task.
      if (known.has(key) || shims.has(key) || sandboxes.has(key)) continue;
      if ((await oldSize(bundle.path, youngMs)) === undefined) continue;
      findings.push(strayBundle(scope, bundle));
    }
    return findings;
  },
};

async function sandboxKeys(scope: DoctorScope): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const [namespace, client] of await scope.namespaces()) {
    const ctx = client.context({ signal: scope.session.signal });
    // Old daemons have no sandboxes.
    const sandboxes = await client.services.sandboxStore.list(ctx, []).catch(() => []);
    for (const { sandboxId } of sandboxes) keys.add(`${namespace}/${sandboxId}`);
  }
  return keys;
}

function strayBundle(scope: DoctorScope, { namespace, id, path }: BundleDirectory): Finding {
  return {
    check: "bundles",
    severity: "warning",
    object: path,
    problem: `the daemon has no task ${id} in namespace ${namespace}, and no shim runs for it`,
    meaning: "a new task of that name cannot be created; something may still be mounted in it",
    remedy: "unmounts what is in it and removes it",
    async repair() {
      // Throws when something stays mounted: removing files would then remove the container's own.
      unmountAll(join(path, "rootfs"));
      await rm(path, { recursive: true, force: true });
      await rm(join(scope.work, namespace, id), { recursive: true, force: true });
      return "removed";
    },
  };
}

/** Shims that serve no task. */
export const shims: Check = {
  name: "shims",
  about: "each shim of this daemon has a task",
  async run(scope) {
    const running = await shimsOf(scope.socket);
    const known = new Set((await allTasks(scope)).map(keyOf));
    const sandboxes = await sandboxKeys(scope);
    const sockets = new Set<string>();
    for (const bundle of await listBundles(scope)) {
      const socket = known.has(keyOf(bundle)) ? await socketOf(bundle) : undefined;
      if (socket !== undefined) sockets.add(socket);
    }
    const idle = running.filter((shim) => {
      const key = keyOf(shim);
      // It may serve tasks of other containers of its group.
      return !known.has(key) && !sandboxes.has(key) && !sockets.has(usualSocket(scope.socket, shim.namespace, shim.id));
    });
    return idle.map(({ pid, namespace, id }) => ({
      check: "shims",
      severity: "warning",
      object: `shim ${pid} of ${id} (namespace ${namespace})`,
      problem: "it runs, and the daemon has no task of it",
      meaning: "a container may run that the daemon does not know",
      remedy: `restart the daemon, which finds it again or ends it; else: kill ${pid}`,
    }));
  },
};

/** Tasks whose shim or process is gone. */
export const tasks: Check = {
  name: "tasks",
  about: "each task has a shim that answers, and a process when it runs",
  async run(scope) {
    const known = await allTasks(scope);
    const byKey = new Map((await listBundles(scope)).map((bundle) => [keyOf(bundle), bundle]));
    const findings: Finding[] = [];
    for (const task of known) {
      const bundle = byKey.get(keyOf(task));
      const problem = bundle === undefined ? "its bundle is missing" : await problemOf(task, bundle);
      if (problem !== undefined) findings.push(brokenTask(task, problem));
    }
    return findings;
  },
};

async function problemOf({ process }: NamespacedTask, bundle: BundleDirectory): Promise<string | undefined> {
  const socket = await socketOf(bundle);
  const shim = socket === undefined ? "served" : await probeSocket(socket);
  if (shim !== "served") return `nobody listens on the socket of its shim, ${socket}`;
  const runs = process.status === TaskStatus.Running || process.status === TaskStatus.Paused;
  if (!runs || process.pid === 0 || (await isAlive(process.pid))) return undefined;
  return `it is said to run as process ${process.pid}, which is not there`;
}

function brokenTask({ namespace, id }: NamespacedTask, problem: string): Finding {
  return {
    check: "tasks",
    severity: "error",
    object: `task ${id} (namespace ${namespace})`,
    problem,
    meaning: "it cannot be stopped, attached to or asked",
    remedy: `restart the daemon, which cleans up after it; then: ctrd -n ${namespace} start ${id}`,
  };
}

/** Sockets of shims that are gone. */
export const sockets: Check = {
  name: "sockets",
  about: "no container without a task has the socket of a dead shim",
  async run(scope) {
    const findings: Finding[] = [];
    const running = new Set((await shimsOf(scope.socket)).map(keyOf));
    for (const [namespace, client] of await scope.namespaces()) {
      const ctx = client.context({ signal: scope.session.signal });
      for (const { id } of await client.services.containerService.list(ctx, [])) {
        const path = usualSocket(scope.socket, namespace, id);
        if (running.has(keyOf({ namespace, id })) || (await probeSocket(path)) !== "dead") continue;
        findings.push(deadSocket(path, `container ${id} (namespace ${namespace})`));
      }
    }
    return findings;
  },
};

function deadSocket(path: string, owner: string): Finding {
  return {
    check: "sockets",
    severity: "warning",
    object: path,
    problem: `nobody listens on this socket of a shim of ${owner}`,
    meaning: "a shim that is started for the container has to remove it first",
    remedy: "removes the socket",
    async repair() {
      if ((await probeSocket(path)) === "dead") await unlessMissing(unlink(path));
      return "removed";
    },
  };
}
