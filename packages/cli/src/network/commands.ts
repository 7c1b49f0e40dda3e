/**
 * `ctrd network`. None of its commands needs a daemon.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { NetworkConfig } from "@ctrd/cni";
import { checkNetworkName } from "@ctrd/cni";
import { messageOf } from "@ctrd/core/errors";
import { deleteBridge, hasErrno, setInterfaceUp } from "@ctrd/sys";
import { CommandFailure } from "../failure.ts";
import { labelsText, parseAssignments } from "../output/assignments.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import type { AddressRange, Driver } from "./conflist.ts";
import { bridgeNetwork, drivers } from "./conflist.ts";
import { withLock } from "./lock.ts";
import {
  configuredNetworks,
  createNetwork,
  findNetwork,
  installedPlugins,
  ownNotes,
  rangesOf,
  usedSubnets,
} from "./networks.ts";
import type { NetworkedContainer } from "./request.ts";
import { allContainers } from "./request.ts";
import { leaseDirectory, networkSettings } from "./settings.ts";
import { contains, overlap, parseSubnet } from "./subnets.ts";

/** Flags of `ctrd network create`. */
export interface CreateNetworkFlags {
  driver?: string;
  subnet?: string[];
  gateway?: string[];
  ipRange?: string[];
  opt?: string[];
  label?: string[];
  internal?: boolean;
}

interface Row {
  readonly name: string;
  readonly driver: string;
  readonly file: string;
  readonly subnets: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly problem: string;
}

/** Runs `ctrd network ls`. */
export async function listNetworks(flags: OutputFlags): Promise<void> {
  const rows = (await configuredNetworks(networkSettings())).map(({ file, network, error }): Row => {
    if (network === undefined)
      return { name: "", driver: "", file, subnets: "", labels: {}, problem: messageOf(error) };
    return { ...rowOf(network), file, problem: "" };
  });
  const special = ["host", "none"].map((name): Row => {
    return { name, driver: name === "host" ? "host" : "null", file: "", subnets: "", labels: {}, problem: "" };
  });
  const columns: Column<Row>[] = [
    { name: "Name", title: "NAME", value: ({ name }) => name, text: ({ name }) => name || "(bad)" },
    { name: "Driver", title: "DRIVER", value: ({ driver }) => driver },
    { name: "Subnets", title: "SUBNETS", value: ({ subnets }) => subnets },
    { name: "File", title: "FILE", value: ({ file }) => file },
    {
      name: "Labels",
      value: ({ labels }) => labels,
      text: ({ labels }) => labelsText(new Map(Object.entries(labels))),
    },
    { name: "Problem", value: ({ problem }) => problem },
  ];
  process.stdout.write(formatRows([...rows, ...special], columns, flags));
  for (const { problem } of rows) if (problem !== "") process.stderr.write(`ctrd: ${problem}\n`);
}

function rowOf(network: NetworkConfig): Omit<Row, "file" | "problem"> {
  const notes = ownNotes(network);
  return {
    name: network.name,
    driver: notes?.driver ?? network.plugins[0]?.type ?? "",
    subnets: rangesOf(network)
      .map(({ subnet }) => subnet)
      .join(", "),
    labels: notes?.labels ?? {},
  };
}

/** Runs `ctrd network create`. */
export async function create(name: string, flags: CreateNetworkFlags): Promise<void> {
  checkName(name);
  const settings = networkSettings();
  const driver = flags.driver ?? "bridge";
  if (!isDriver(driver)) throw new CommandFailure(`--driver ${driver}: known are ${drivers.join(", ")}`);
  const options = optionsOf(driver, flags);
  const ranges = await rangesFor(name, driver, flags);
  const needed = [driver, "host-local"];
  const installed = await installedPlugins(settings, needed);
  const missing = needed.filter((plugin) => !installed.has(plugin));
  if (missing.length > 0) {
    throw new CommandFailure(`CNI plugin ${missing.join(", ")} is not in ${settings.pluginDirectories.join(", ")}`, {
      remedy: "install CNI plugins (Debian: containernetworking-plugins), or name their directory: CTRD_CNI_BIN_DIR",
    });
  }
  const network = await createNetwork(settings, {
    ...{ name, driver, options, internal: flags.internal ?? false },
    labels: parseAssignments("--label", flags.label ?? []),
    ...(ranges.length === 0 ? {} : { ranges }),
  });
  process.stdout.write(`${network.name}\n`);
}

function isDriver(text: string): text is Driver {
  return (drivers as readonly string[]).includes(text);
}

function checkName(name: string): void {
  checkNetworkName(name);
  if (["host", "none", "default", "container"].includes(name)) {
    throw new CommandFailure(`a network cannot be called "${name}": that has a meaning of its own`);
  }
}

const knownOptions: Record<Driver, readonly string[]> = {
  bridge: ["mtu", "bridge"],
  macvlan: ["parent", "mode", "mtu"],
  ipvlan: ["parent", "mode", "mtu"],
};

function optionsOf(driver: Driver, flags: CreateNetworkFlags): Map<string, string> {
  const options = parseAssignments("--opt", flags.opt ?? []);
  for (const [key, value] of options) {
    if (!knownOptions[driver].includes(key)) {
      throw new CommandFailure(`--opt ${key}: the driver ${driver} knows ${knownOptions[driver].join(", ")}`);
    }
    if (key === "mtu" && !/^\d+$/.test(value)) throw new CommandFailure(`--opt mtu=${value}: it is not a number`);
  }
  if (driver !== "bridge" && !options.has("parent")) {
    throw new CommandFailure(`--driver ${driver} needs an interface of this machine`, {
      remedy: "as in: --opt parent=eth0 --subnet 192.168.1.0/24 --gateway 192.168.1.1",
    });
  }
  return options;
}

/** Gateways and ranges are those of the subnet that they are in. */
async function rangesFor(name: string, driver: Driver, flags: CreateNetworkFlags): Promise<AddressRange[]> {
  const { subnet: texts = [], gateway: gateways = [], ipRange = [] } = flags;
  const subnets = texts.map((text) => parseSubnet("--subnet", text));
  if (subnets.length === 0 && (gateways.length > 0 || ipRange.length > 0)) {
    throw new CommandFailure("--gateway and --ip-range need the subnet that they are in", {
      remedy: "say --subnet too",
    });
  }
  if (subnets.length === 0 && driver !== "bridge") {
    throw new CommandFailure(`--driver ${driver} needs the subnet of that interface`, {
      remedy: "as in: --subnet 192.168.1.0/24 --gateway 192.168.1.1",
    });
  }
  if (driver === "bridge") {
    const used = await usedSubnets(networkSettings(), name);
    for (const [index, subnet] of subnets.entries()) {
      const taken = used.find((other) => overlap(subnet, other));
      if (taken === undefined) continue;
      throw new CommandFailure(
        `--subnet ${texts[index] ?? ""} overlaps ${taken.base}/${taken.prefix}, which is in use`,
      );
    }
  }
  const stray = gateways.find((gateway) => !subnets.some((subnet) => contains(subnet, gateway)));
  if (stray !== undefined) throw new CommandFailure(`--gateway ${stray} is in none of the subnets`);
  const parts = ipRange.map((text) => ({ text, subnet: parseSubnet("--ip-range", text) }));
  const lost = parts.find(({ subnet }) => !subnets.some((whole) => contains(whole, subnet.base)));
  if (lost !== undefined) throw new CommandFailure(`--ip-range ${lost.text} is in none of the subnets`);
  return subnets.map((subnet, index): AddressRange => {
    const gateway = gateways.find((address) => contains(subnet, address));
    const part = parts.find((range) => contains(subnet, range.subnet.base));
    return {
      subnet: texts[index] ?? "",
      ...(gateway === undefined ? {} : { gateway }),
      ...(part === undefined ? {} : { rangeStart: firstOf(part.text), rangeEnd: lastOf(part.text) }),
    };
  });
}

function firstOf(text: string): string {
  return text.split("/")[0] ?? "";
}

/** The last address of a range; only of IPv4, where ranges are small. */
function lastOf(text: string): string {
  const [address = "", prefix = ""] = text.split("/");
  if (address.includes(":")) throw new CommandFailure(`--ip-range ${text}: only of IPv4`);
  const number = address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
  const size = 2 ** (32 - Number(prefix));
  const last = number - (number % size) + size - 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join(".");
}

/** Runs `ctrd network rm`. */
export async function remove(names: readonly string[]): Promise<void> {
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      await removeNetwork(name);
      process.stdout.write(`${name}\n`);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new CommandFailure(failures.map(messageOf).join("; "));
}

async function removeNetwork(name: string): Promise<void> {
  const settings = networkSettings();
  const found = (await configuredNetworks(settings)).find(({ network }) => network?.name === name);
  if (found?.network === undefined) {
    throw new CommandFailure(`no network "${name}" in ${settings.configDirectory}`, {
      remedy: "list all with: ctrd network ls",
    });
  }
  if (ownNotes(found.network) === undefined) {
    throw new CommandFailure(`network "${name}" is not ours: ${found.file} was written by somebody else`, {
      remedy: "remove that file if nobody needs it",
    });
  }
  const { network } = found;
  await withLock(join(settings.root, "network.lock"), async () => {
    const [user] = usersOf(await allContainers(settings.root), name);
    if (user !== undefined) {
      throw new CommandFailure(`network "${name}" is used by container "${user.request.name}"`, {
        remedy: `remove that first: ctrd rm ${user.request.name}`,
      });
    }
    await rm(found.file);
    await rm(join(leaseDirectory(settings), name), { recursive: true, force: true });
    removeInterface(network);
  });
}

function usersOf(containers: readonly NetworkedContainer[], name: string): NetworkedContainer[] {
  return containers.filter(({ request }) => request.networks.includes(name));
}

/** The bridge of a network; plugins leave it for the next container. */
function removeInterface({ plugins }: NetworkConfig): void {
  for (const { type, bridge } of plugins) {
    if (type !== "bridge" || typeof bridge !== "string") continue;
    try {
      setInterfaceUp(bridge, false);
      deleteBridge(bridge);
    } catch (error) {
      // No container was ever on it.
      if (!hasErrno(error, "ENODEV", "ENXIO")) throw error;
    }
  }
}

/** Runs `ctrd network prune`: removes the networks of ours that no container uses, but the default one. */
export async function prune(): Promise<void> {
  await remove(await unusedNetworks());
}

/** Networks of ours that no container uses, but the default one. */
export async function unusedNetworks(): Promise<string[]> {
  const settings = networkSettings();
  const containers = await allContainers(settings.root);
  return (await configuredNetworks(settings)).flatMap(({ network }) => {
    const isOurs = network !== undefined && network.name !== bridgeNetwork && ownNotes(network) !== undefined;
    return isOurs && usersOf(containers, network.name).length === 0 ? [network.name] : [];
  });
}

/** Runs `ctrd network inspect`. */
export async function inspect(names: readonly string[]): Promise<void> {
  const settings = networkSettings();
  const containers = await allContainers(settings.root);
  const found: unknown[] = [];
  for (const name of names) {
    const network = await findNetwork(settings, name);
    const { driver, labels } = rowOf(network);
    found.push({
      Name: name,
      Driver: driver,
      Internal: (network.document["ctrd"] as { internal?: boolean } | undefined)?.internal ?? false,
      IPAM: { Config: rangesOf(network).map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway ?? "" })) },
      Labels: labels,
      File: network.source,
      Containers: Object.fromEntries(usersOf(containers, name).map((user) => [user.request.id, factsOf(user, name)])),
      CNI: network.document,
    });
  }
  process.stdout.write(`${toJson(found, 2)}\n`);
}

function factsOf({ request, state }: NetworkedContainer, name: string): Record<string, unknown> {
  const own = state?.interfaces.find(({ network }) => network === name);
  return {
    Name: request.name,
    MacAddress: own?.mac ?? "",
    Addresses: (own?.addresses ?? []).map(({ ip, prefix }) => `${ip}/${prefix}`),
  };
}
