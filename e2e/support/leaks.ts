/** What a daemon could leave outside its own directory, found by the names that only its tests used. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, rmdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { connects } from "@ctrd/testkit/fixtures";
import { run, until } from "./command.ts";
import type { Daemon } from "./daemon.ts";
import { list } from "./machine-state.ts";

/** Ends everything of the daemon, removes its directory, and throws when something stayed behind. */
export async function closeDaemon(daemon: Daemon): Promise<void> {
  try {
    if (!(await connects(daemon.address))) await daemon.restart();
    for (const namespace of daemon.namespaces) await emptyNamespace(daemon, namespace);
  } finally {
    await daemon.stop();
  }
  try {
    await expectNothingLeft(daemon);
  } finally {
    for (const namespace of daemon.namespaces) removeNamespaceDirectories(namespace);
    // After a failed check, so that the next run begins clean.
    for (const path of leftShimSockets(daemon)) rmSync(path, { force: true });
    removeClientFifos(daemon.ids);
    rmSync(daemon.dir, { recursive: true, force: true });
  }
}

/** What runc leaves of a namespace; `--cgroup` does not know the unified hierarchy of a hybrid machine. */
export function removeNamespaceDirectories(namespace: string): void {
  for (const dir of [`/run/containerd/runc/${namespace}`, ...namespaceCgroups(namespace)]) removeIfEmpty(dir);
}

/** Deletes what a namespace holds, as a user would, and the namespace with its cgroup. */
async function emptyNamespace(daemon: Daemon, namespace: string): Promise<void> {
  const ctr = async (...args: string[]): Promise<string[]> => {
    const result = await run("ctr", [...daemon.flags(namespace), ...args], { env: { TMPDIR: daemon.tmp } });
    return result.stdout
      .trim()
      .split("\n")
      .filter((line) => line !== "");
  };
  for (const id of await ctr("tasks", "ls", "-q")) await ctr("tasks", "rm", "-f", id);
  for (const id of await ctr("containers", "ls", "-q")) await ctr("containers", "rm", id);
  for (const snapshotter of ["overlayfs", "native"]) await removeSnapshots(ctr, snapshotter);
  for (const image of await ctr("images", "ls", "-q")) await ctr("images", "rm", "--sync", image);
  for (const digest of await ctr("content", "ls", "-q")) await ctr("content", "rm", digest);
  await ctr("namespaces", "rm", "--cgroup", namespace);
}

async function removeSnapshots(ctr: (...args: string[]) => Promise<string[]>, snapshotter: string): Promise<void> {
  // Children first: a round removes the leaves, and the tree gets lower until it is gone.
  for (let round = 0; round < 64; round++) {
    const rows = (await ctr("snapshots", "--snapshotter", snapshotter, "ls")).slice(1).map((row) => row.split(/\s+/));
    if (rows.length === 0) return;
    const parents = new Set(rows.filter((row) => row.length > 2).map((row) => row[1]));
    for (const [key = ""] of rows)
      if (!parents.has(key)) await ctr("snapshots", "--snapshotter", snapshotter, "rm", key);
  }
}

/** Waits shortly for what is on its way out, then throws with the list of what stayed. */
export async function expectNothingLeft(daemon: Daemon): Promise<void> {
  let left: string[] = [];
  await until("nothing is left", () => (left = leftovers(daemon)).length === 0, 5_000).catch(() => {
    throw new Error(
      `left behind by the daemon in ${daemon.dir}:\n  ${left.join("\n  ")}\n${daemon.logs().slice(-1500)}`,
    );
  });
}

/** Everything that carries the daemon's directory, one of its namespaces or one of its container ids. */
export function leftovers(daemon: Daemon): string[] {
  const namespaces = [...daemon.namespaces];
  return [
    ...leftMounts(daemon.dir),
    ...leftProcesses([daemon.dir, ...namespaces.map((namespace) => `-namespace ${namespace} `)]),
    ...namespaces.flatMap((namespace) => leftCgroups(namespace)),
    ...namespaces.flatMap((namespace) => list(`/run/containerd/runc/${namespace}`)),
    ...leftShimSockets(daemon),
    ...leftFifos(daemon.ids),
    ...list(daemon.tmp),
  ];
}

export function leftMounts(dir: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.filter((line) => line.includes(dir)).map((line) => `mount ${line.split(" ")[4]}`);
}

export function leftProcesses(needles: readonly string[]): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const line = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      return needles.some((needle) => line.includes(needle)) ? [`process ${pid}: ${line}`] : [];
    });
}

/** Cgroups of containers. The namespace's own cgroup stays by design: `ctr namespaces rm --cgroup` is for that. */
export function leftCgroups(namespace: string): string[] {
  return namespaceCgroups(namespace).flatMap((dir) => list(dir).filter((path) => statSync(path).isDirectory()));
}

function namespaceCgroups(namespace: string): string[] {
  return list("/sys/fs/cgroup")
    .map((controller) => join(controller, namespace))
    .filter((path) => existsSync(path));
}

/** The shim names its socket by a hash of the daemon's address, the namespace and the container id. */
export function shimSocket(daemon: Daemon, namespace: string, id: string): string {
  return `/run/containerd/s/${createHash("sha256")
    .update(join(daemon.address, namespace, id))
    .digest("hex")}`;
}

function leftShimSockets(daemon: Daemon): string[] {
  const pairs = [...daemon.namespaces].flatMap((namespace) => [...daemon.ids].map((id) => ({ namespace, id })));
  return pairs.map(({ namespace, id }) => shimSocket(daemon, namespace, id)).filter((path) => existsSync(path));
}

function leftFifos(ids: Iterable<string>): string[] {
  return list("/run/containerd/fifo")
    .flatMap((dir) => list(dir))
    .filter((path) => {
      const name = path.split("/").at(-1) ?? "";
      return [...ids].some((id) => name.startsWith(`${id}-`));
    });
}

/** Removes what containerd 1.6 and its shim leave when the shim was killed. */
export function removeShimSocket(daemon: Daemon, id: string): void {
  rmSync(shimSocket(daemon, daemon.namespace, id), { force: true });
}

/** Removes the FIFOs that `ctr run -d` or a detached exec made: they are the client's, and it leaves them. */
export function removeClientFifos(ids: Iterable<string>): void {
  for (const path of leftFifos(ids)) rmSync(dirname(path), { recursive: true, force: true });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process has ended meanwhile
  }
}

function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    return; // never made
  }
}
