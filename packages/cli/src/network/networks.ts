/**
 * The networks that containers can be on: configurations of the CNI directory, ours and others'.
 *
 * @module
 */
import { link, mkdir, open, rm } from "node:fs/promises";
import { extname, join } from "node:path";
import type { NetworkConfig } from "@ctrd/cni";
import { findPlugin, readNetwork } from "@ctrd/cni";
import { isKind, messageOf } from "@ctrd/core/errors";
import { namesIn } from "@ctrd/sys";
import { CommandFailure } from "../failure.ts";
import type { NetworkDefinition } from "./conflist.ts";
import { bridgeName, bridgeNetwork, conflistOf, extraPlugins, ownKey } from "./conflist.ts";
import { withLock } from "./lock.ts";
import type { NetworkSettings } from "./settings.ts";
import { leaseDirectory } from "./settings.ts";
import type { Subnet } from "./subnets.ts";
import { freeSubnet, readSubnet, routedSubnets } from "./subnets.ts";

/** A file of the directory: a network, or why it is none. */
export interface ConfiguredNetwork {
  readonly file: string;
  readonly network?: NetworkConfig;
  readonly error?: unknown;
}

const ownPrefix = "ctrd-";
const extensions = new Set([".conf", ".conflist", ".json"]);

/** All networks, in the order of their files. A bad file is one that says so. */
export async function configuredNetworks({ configDirectory }: NetworkSettings): Promise<ConfiguredNetwork[]> {
  const found: ConfiguredNetwork[] = [];
  for (const name of (await namesIn(configDirectory)).toSorted()) {
    if (!extensions.has(extname(name))) continue;
    const file = join(configDirectory, name);
    try {
      found.push({ file, network: await readNetwork(file) });
    } catch (error) {
      found.push({ file, error });
    }
  }
  return found;
}

/** The file of a network of ours. */
export function fileOf(settings: NetworkSettings, name: string): string {
  return join(settings.configDirectory, `${ownPrefix}${name}.conflist`);
}

/** What we noted in a network of ours; undefined for others'. */
export function ownNotes(network: NetworkConfig): { driver: string; labels: Record<string, string> } | undefined {
  const notes = network.document[ownKey] as { driver?: string; labels?: Record<string, string> } | undefined;
  return notes === undefined ? undefined : { driver: notes.driver ?? "", labels: notes.labels ?? {} };
}

/**
 * Finds a network. The default one is made when it is not there.
 *
 * @throws CommandFailure that names the directory, and bad files in it
 */
export async function findNetwork(settings: NetworkSettings, name: string): Promise<NetworkConfig> {
  const all = await configuredNetworks(settings);
  const found = all.find(({ network }) => network?.name === name)?.network;
  if (found !== undefined) return found;
  // Its own file, if that is bad, says more than that there is none.
  const bad = all.find(({ file, error }) => error !== undefined && file === fileOf(settings, name));
  if (bad !== undefined) throw bad.error;
  if (name === bridgeNetwork) return makeBridge(settings);
  const broken = all.filter(({ error }) => error !== undefined);
  const more = broken.map(({ error }) => `; ${messageOf(error)}`).join("");
  throw new CommandFailure(`no network "${name}" in ${settings.configDirectory}${more}`, {
    remedy: `make it with: ctrd network create ${name}; list all with: ctrd network ls`,
  });
}

async function makeBridge(settings: NetworkSettings): Promise<NetworkConfig> {
  // Without its plugins it would be of no use.
  for (const plugin of ["bridge", "host-local"]) await findPlugin(plugin, settings.pluginDirectories, "network bridge");
  const plain = {
    name: bridgeNetwork,
    driver: "bridge",
    internal: false,
    options: new Map(),
    labels: new Map(),
  } as const;
  return createNetwork(settings, plain);
}

/** A network as flags describe it. */
export type WantedNetwork = Pick<NetworkDefinition, "name" | "driver" | "internal" | "options" | "labels"> &
  Partial<Pick<NetworkDefinition, "ranges">>;

/** Makes a network; without ranges with a subnet that is free. @throws CommandFailure when the name is taken */
export async function createNetwork(settings: NetworkSettings, wanted: WantedNetwork): Promise<NetworkConfig> {
  const file = fileOf(settings, wanted.name);
  // One at a time: each chooses a subnet that no other has.
  await withLock(join(settings.root, "network.lock"), async () => {
    const present = (await configuredNetworks(settings)).find(({ network }) => network?.name === wanted.name);
    if (present !== undefined && wanted.name === bridgeNetwork) return;
    if (present !== undefined) {
      throw new CommandFailure(`network "${wanted.name}" is there already: ${present.file}`);
    }
    const ranges = wanted.ranges ?? [{ subnet: subnetText(freeSubnet(await usedSubnets(settings, wanted.name))) }];
    const extras = await installedPlugins(settings, extraPlugins);
    await writeNew(file, conflistOf({ ...wanted, ranges, extras, leaseDirectory: leaseDirectory(settings) }));
  });
  return readNetwork(file);
}

function subnetText({ base, prefix }: Subnet): string {
  return `${base}/${prefix}`;
}

/** Those of the plugins that are installed. */
export async function installedPlugins(settings: NetworkSettings, names: readonly string[]): Promise<Set<string>> {
  const installed = new Set<string>();
  for (const name of names) {
    try {
      await findPlugin(name, settings.pluginDirectories, name);
      installed.add(name);
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
    }
  }
  return installed;
}

/** Subnets of networks and of this machine, but those of a bridge that is left of a network called `name`. */
export async function usedSubnets(settings: NetworkSettings, name: string): Promise<Subnet[]> {
  const networks = (await configuredNetworks(settings)).flatMap(({ network }) => network ?? []);
  return [...networks.flatMap(subnetsOf), ...(await routedSubnets(bridgeName(name)))];
}

/** The subnets that a network gives addresses of, as far as host-local does. */
export function subnetsOf(network: NetworkConfig): Subnet[] {
  return rangesOf(network).flatMap(({ subnet }) => readSubnet(subnet) ?? []);
}

/** The ranges of a network, as far as host-local gives addresses. */
export function rangesOf({ plugins }: NetworkConfig): { subnet: string; gateway?: string }[] {
  return plugins.flatMap(({ ipam }) => {
    const {
      ranges = [],
      subnet,
      gateway,
    } = (ipam ?? {}) as {
      ranges?: { subnet: string; gateway?: string }[][];
      subnet?: string;
      gateway?: string;
    };
    const single = subnet === undefined ? [] : [{ subnet, ...(gateway === undefined ? {} : { gateway }) }];
    return [...ranges.flat(), ...single];
  });
}

/** Writes a file that must not be there yet; it is whole when others see it. */
async function writeNew(path: string, document: Record<string, unknown>): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true, mode: 0o755 });
  const fresh = `${path}.new`;
  await rm(fresh, { force: true });
  const file = await open(fresh, "wx", 0o644);
  try {
    await file.writeFile(`${JSON.stringify(document, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
}
