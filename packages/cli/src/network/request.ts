/**
 * What is kept of a container's network in its directory: what it wants, and what it has while it runs.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AttachedInterface, PortMapping } from "@ctrd/cni";
import { errnoOf } from "@ctrd/core/errors";
import type { NetworkSettings } from "./settings.ts";

/** What a container wants. */
export interface NetworkRequest {
  readonly id: string;
  readonly name: string;
  readonly hostname: string;
  /** Names of networks; `eth0` is on the first. */
  readonly networks: readonly string[];
  readonly ports: readonly PortMapping[];
  /** Addresses that it asks for. */
  readonly ips: readonly string[];
  readonly mac?: string;
  /** Further names, for other containers. */
  readonly aliases: readonly string[];
  /** Lines for its `/etc/hosts`. */
  readonly hosts: readonly string[];
  readonly settings: NetworkSettings;
}

/** An interface, as it is kept. */
export type KeptInterface = Omit<AttachedInterface, "result" | "dns">;

/** What a container has from the moment that its network is set up until it is taken down. */
export interface NetworkState {
  /** Of its first process. */
  readonly pid: number;
  /** File that keeps its network namespace. */
  readonly netns: string;
  readonly ports: readonly PortMapping[];
  /** None as long as it is being set up. */
  readonly interfaces: readonly KeptInterface[];
}

const [requestFile, stateFile] = ["network.json", "network-state.json"];

/** Keeps what a container wants. */
export async function writeRequest(directory: string, request: NetworkRequest): Promise<void> {
  await writeFile(join(directory, requestFile), JSON.stringify(request), { mode: 0o600 });
}

/** What a container wants; undefined when it has no network of ours. */
export async function readRequest(directory: string): Promise<NetworkRequest | undefined> {
  return (await readJson(join(directory, requestFile))) as NetworkRequest | undefined;
}

/** Keeps what a container has. Others read it at any time. */
export async function writeState(directory: string, state: NetworkState): Promise<void> {
  const path = join(directory, stateFile);
  const fresh = `${path}.${randomBytes(4).toString("hex")}`;
  await writeFile(fresh, JSON.stringify(state), { mode: 0o600 });
  await rename(fresh, path);
}

/** What a container has; undefined when its network is not set up. */
export async function readState(directory: string): Promise<NetworkState | undefined> {
  return (await readJson(join(directory, stateFile))) as NetworkState | undefined;
}

/** Notes that a container has no network any more. */
export async function removeState(directory: string): Promise<void> {
  await rm(join(directory, stateFile), { force: true });
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A container with a network of ours. */
export interface NetworkedContainer {
  readonly directory: string;
  readonly request: NetworkRequest;
  readonly state: NetworkState | undefined;
}

/** The containers that have networks: of all daemons and namespaces of this machine. */
export async function allContainers(root: string): Promise<NetworkedContainer[]> {
  const found: NetworkedContainer[] = [];
  for (const daemon of await directoriesIn(root)) {
    for (const namespace of await directoriesIn(daemon)) found.push(...(await containersIn(namespace)));
  }
  return found;
}

/** The containers of the same daemon and namespace as the one with this directory. */
export async function neighbours(directory: string): Promise<NetworkedContainer[]> {
  return containersIn(dirname(directory));
}

async function containersIn(namespace: string): Promise<NetworkedContainer[]> {
  const found: NetworkedContainer[] = [];
  for (const directory of await directoriesIn(namespace)) {
    const [request, state] = [await readRequest(directory), await readState(directory)];
    if (request !== undefined) found.push({ directory, request, state });
  }
  return found;
}

async function directoriesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
