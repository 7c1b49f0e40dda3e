/**
 * Setting up the network of a container that is about to start, and taking it down. The runtime does both through
 * hooks, so that it is the same whoever starts the container: this program, the daemon's restart monitor, another client.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AttachedInterface, NetworkConfig, PortMapping } from "@ctrd/cni";
import {
  attachNetworks,
  Cni,
  defaultNamespaceDirectory,
  detachNetworks,
  NetworkNamespace,
  removeNamespace,
} from "@ctrd/cni";
import { ContainerdError, errnoOf } from "@ctrd/core/errors";
import { updateHosts } from "./container-files.ts";
import { withLock } from "./lock.ts";
import { findNetwork } from "./networks.ts";
import { checkPortsFree } from "./port-owners.ts";
import { collide } from "./ports.ts";
import type { KeptInterface, NetworkRequest, NetworkState } from "./request.ts";
import { allContainers, neighbours, readRequest, readState, removeState, writeState } from "./request.ts";
import { cacheDirectory } from "./settings.ts";

/** The file that keeps the network namespace of a container while it runs. Others may join it. */
export function namespacePath(id: string): string {
  return join(defaultNamespaceDirectory, namespaceName(id));
}

function namespaceName(id: string): string {
  return `ctrd-${id.slice(0, 16)}`;
}

/** Lock of what all containers share: ports, subnets. */
function sharedLock({ settings }: NetworkRequest): string {
  return join(settings.root, "network.lock");
}

/**
 * Sets up the network of a container.
 *
 * @param pid its first process, in the new network namespace
 * @throws with nothing left behind
 */
export async function setUp(directory: string, pid: number): Promise<void> {
  const request = await readRequest(directory);
  if (request === undefined) return;
  await withLock(join(directory, "network.lock"), async () => {
    // Of an earlier run that nobody has taken down, as when the machine was switched off.
    await detachEarlier(directory, request);
    const networks = await Promise.all(request.networks.map((name) => findNetwork(request.settings, name)));
    const state = { pid, netns: namespacePath(request.id), ports: request.ports, interfaces: [] };
    // From here on the ports are taken, and no other container passes the check.
    await withLock(sharedLock(request), async () => {
      await checkPortsFree(request.ports, request.settings.root, directory);
      await removeNamespace(state.netns);
      await NetworkNamespace.pin(`/proc/${pid}/ns/net`, defaultNamespaceDirectory, namespaceName(request.id));
      await writeState(directory, state);
    });
    await attach(directory, request, state, networks);
  });
  await tellNeighbours(directory);
}

/** What plugins cannot undo, because others did, as a firewall that was loaded again, they make anew. */
async function detachEarlier(directory: string, request: NetworkRequest): Promise<void> {
  try {
    await detach(directory, request);
  } catch (error) {
    if (!(error instanceof ContainerdError)) throw error;
    await removeNamespace(namespacePath(request.id));
    await removeState(directory);
  }
}

async function attach(
  directory: string,
  request: NetworkRequest,
  state: NetworkState,
  networks: readonly NetworkConfig[],
): Promise<void> {
  try {
    const attached = await attachNetworks(cniOf(request), attachmentOf(request, state, networks));
    await writeState(directory, { ...state, interfaces: attached.map(kept) });
  } catch (error) {
    await removeNamespace(state.netns);
    await removeState(directory);
    throw error;
  }
}

function kept({ network, name, mac, addresses }: AttachedInterface): KeptInterface {
  return { network, name, mac, addresses };
}

function cniOf({ settings }: NetworkRequest): Cni {
  return new Cni({ pluginDirectories: settings.pluginDirectories, cacheDirectory: cacheDirectory(settings) });
}

function attachmentOf(
  request: NetworkRequest,
  { netns }: NetworkState,
  networks: readonly NetworkConfig[],
): Parameters<typeof attachNetworks>[1] {
  const { id, ports, ips, mac, aliases } = request;
  return {
    id,
    netns,
    networks,
    args: { IgnoreUnknown: "1" },
    // Ports, addresses and a MAC are those of the first network, as with Docker.
    capabilities: (_network, index) => ({
      aliases,
      ...(index > 0 ? {} : { portMappings: ports }),
      ...(index > 0 || ips.length === 0 ? {} : { ips }),
      ...(index > 0 || mac === undefined ? {} : { mac }),
    }),
  };
}

/** When a network is taken down. */
export type TakeDownReason =
  /** The container is removed, or its task. */
  | "removed"
  /** Its process is said to have ended: another one may have started meanwhile. */
  | "ended";

/** Takes down the network of a container; when it has none (any more), nothing happens. */
export async function takeDown(directory: string, reason: TakeDownReason): Promise<void> {
  const request = await readRequest(directory);
  if (request === undefined) return;
  const done = await withLock(join(directory, "network.lock"), async () => {
    const state = await readState(directory);
    if (state === undefined || (reason === "ended" && isAlive(state.pid))) return false;
    await detach(directory, request);
    return true;
  });
  if (done) await tellNeighbours(directory);
}

/** Takes down networks that have one of these ports and whose containers have ended, if nobody has and it can be done. */
export async function releaseEnded(ports: readonly PortMapping[], root: string): Promise<void> {
  for (const { directory, state } of ports.length === 0 ? [] : await allContainers(root)) {
    if (state?.ports.some((taken) => ports.some((port) => collide(port, taken))) === true) {
      await unlessFailed(takeDown(directory, "ended"));
    }
  }
}

/** Its port is still taken then, which is said with the name of the container. */
async function unlessFailed(done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!(error instanceof ContainerdError)) throw error;
  }
}

async function detach(directory: string, request: NetworkRequest): Promise<void> {
  const state = await readState(directory);
  if (state === undefined) return;
  const cni = cniOf(request);
  const networks = await Promise.all(
    request.networks.map((name, index) => networkToLeave(cni, request, name, `eth${index}`)),
  );
  // Without a file the namespace is gone, as after a reboot: plugins then free what they keep elsewhere.
  const netns = NetworkNamespace.exists(state.netns) ? state.netns : "";
  await detachNetworks(cni, attachmentOf(request, { ...state, netns }, networks));
  await removeNamespace(state.netns);
  await removeState(directory);
}

/** The configuration of an attachment, which may have been removed. */
async function networkToLeave(
  cni: Cni,
  { id, settings }: NetworkRequest,
  network: string,
  ifName: string,
): Promise<NetworkConfig> {
  const cached = await cni.attached({ network, containerId: id, ifName });
  return cached?.config ?? findNetwork(settings, network);
}

async function tellNeighbours(directory: string): Promise<void> {
  await updateHosts(await neighbours(directory));
}

/** Whether a process is there and has not ended. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
