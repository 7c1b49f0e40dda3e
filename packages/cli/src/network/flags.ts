/**
 * The network of a container, as flags describe it.
 *
 * @module
 */
import { randomInt } from "node:crypto";
import { isIP } from "node:net";
import type { NetworkConfig, PortMapping } from "@ctrd/cni";
import { isKind, messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import type { DnsFlags } from "./container-files.ts";
import { bridgeNetwork } from "./conflist.ts";
import { findNetwork } from "./networks.ts";
import { isPortFree } from "./port-owners.ts";
import { checkDistinct, parsePublish } from "./ports.ts";
import { allContainers } from "./request.ts";
import type { NetworkSettings } from "./settings.ts";
import { defaultNetwork } from "./settings.ts";

/** Flags of `ctrd run` and `ctrd create`. */
export interface NetworkFlags extends DnsFlags {
  network?: string[];
  publish?: string[];
  ip?: string;
  ip6?: string;
  macAddress?: string;
  networkAlias?: string[];
  addHost?: string[];
}

/** What a container is connected to. */
export type NetworkChoice =
  | { readonly kind: "none" }
  | { readonly kind: "host" }
  /** It shares the network of another container. */
  | { readonly kind: "container"; readonly container: string }
  | { readonly kind: "networks"; readonly names: readonly string[] };

const failed = 125;

/** What the flags choose. Without any that is a bridge, if this machine can have one. */
export async function chooseNetwork(settings: NetworkSettings, flags: NetworkFlags): Promise<NetworkChoice> {
  const given = flags.network ?? [];
  const choice = given.length > 0 ? parseChoice(given) : await defaultChoice(settings, flags);
  if (choice.kind !== "networks") {
    const useless = Object.entries({
      "-p": flags.publish,
      "--ip": flags.ip,
      "--ip6": flags.ip6,
      "--mac-address": flags.macAddress,
      "--network-alias": flags.networkAlias,
    }).find(([, value]) => value !== undefined);
    if (useless === undefined) return choice;
    const remedy = "leave one of them out, or name a network: --net bridge";
    throw new CommandFailure(`${useless[0]} does not go with --net ${choice.kind}`, { exitCode: failed, remedy });
  }
  const networks = await Promise.all(choice.names.map((name) => findNetwork(settings, name)));
  if (networks[0] !== undefined) checkCapabilities(networks[0], flags);
  return choice;
}

/** What the plugins of a network do not know they ignore; who asks for it must not believe to have it. */
function checkCapabilities({ name, plugins, source }: NetworkConfig, flags: NetworkFlags): void {
  for (const [flag, capability, value] of [
    ["-p", "portMappings", flags.publish],
    ["--ip", "ips", flags.ip],
    ["--ip6", "ips", flags.ip6],
    ["--mac-address", "mac", flags.macAddress],
  ] as const) {
    const known = plugins.some(({ capabilities }) => isObject(capabilities) && capabilities[capability] === true);
    if (value === undefined || known) continue;
    const needed =
      capability === "portMappings" ? "the plugin portmap" : `a plugin with the capability "${capability}"`;
    throw new CommandFailure(`${flag}: network "${name}" has not ${needed} (${source})`, {
      exitCode: failed,
      remedy: "use another network, or install the plugin and make the network again: ctrd network rm, create",
    });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function parseChoice(given: readonly string[]): NetworkChoice {
  const special = given.find((name) => name === "none" || name === "host" || name.startsWith("container:"));
  if (special === undefined) {
    const twice = given.find((name, index) => given.indexOf(name) !== index);
    if (twice === undefined) return { kind: "networks", names: given };
    throw new CommandFailure(`--net ${twice} is there twice`, { exitCode: failed });
  }
  if (given.length > 1) {
    throw new CommandFailure(`--net ${special} does not go with other networks`, { exitCode: failed });
  }
  if (special === "none") return { kind: "none" };
  if (special === "host") return { kind: "host" };
  return { kind: "container", container: special.slice("container:".length) };
}

async function defaultChoice(settings: NetworkSettings, flags: NetworkFlags): Promise<NetworkChoice> {
  const named = defaultNetwork();
  if (named !== undefined) return parseChoice([named]);
  try {
    await findNetwork(settings, bridgeNetwork);
  } catch (error) {
    // A container that is to be reached must not start without.
    if (!isKind(error, "not-found") || flags.publish !== undefined) throw error;
    const reason = messageOf(error).replace(/: not found$/, "");
    process.stderr.write(
      `ctrd: the container gets no network: ${reason}\n      say --net none to hear no more of it\n`,
    );
    return { kind: "none" };
  }
  return { kind: "networks", names: [bridgeNetwork] };
}

/** Reads `-p`. For ports without one of the host one is chosen, which the container then keeps. */
export async function portsOf(settings: NetworkSettings, flags: NetworkFlags): Promise<PortMapping[]> {
  const wanted = (flags.publish ?? []).flatMap(parsePublish);
  checkDistinct(wanted);
  if (wanted.every(({ hostPort }) => hostPort !== 0)) return wanted;
  const others = (await allContainers(settings.root)).flatMap(({ request }) => request.ports);
  const chosen: PortMapping[] = wanted.filter(({ hostPort }) => hostPort !== 0);
  const ports: PortMapping[] = [];
  for (const port of wanted) {
    const known = port.hostPort === 0 ? await chooseHostPort(port, [...others, ...chosen]) : port;
    if (port.hostPort === 0) chosen.push(known);
    ports.push(known);
  }
  return ports;
}

/** Docker's range, the one that is nobody's. */
const [firstPort, lastPort] = [49_153, 65_535];

async function chooseHostPort(port: PortMapping, published: readonly PortMapping[]): Promise<PortMapping> {
  const count = lastPort - firstPort + 1;
  // Not from the first one: who chooses at the same time should find another.
  const begin = randomInt(count);
  for (let step = 0; step < count; step++) {
    const candidate = { ...port, hostPort: firstPort + ((begin + step) % count) };
    if (await isPortFree(candidate, published)) return candidate;
  }
  throw new CommandFailure(`-p ${port.containerPort}: no port of this machine is free`, { exitCode: failed });
}

/** Reads `--network-alias`. */
export function aliasesOf({ networkAlias = [] }: NetworkFlags): string[] {
  const wrong = networkAlias.find((alias) => !/^[\w.-]+$/.test(alias));
  if (wrong === undefined) return networkAlias;
  throw new CommandFailure(`--network-alias ${JSON.stringify(wrong)}: it is not a host name`, { exitCode: failed });
}

/** Reads `--ip`, `--ip6`. */
export function addressesOf({ ip, ip6 }: NetworkFlags): string[] {
  for (const [flag, value, version] of [
    ["--ip", ip, 4],
    ["--ip6", ip6, 6],
  ] as const) {
    if (value !== undefined && isIP(value) !== version) {
      throw new CommandFailure(`${flag} ${value}: it is not an IPv${version} address`, { exitCode: failed });
    }
  }
  return [ip, ip6].filter((address) => address !== undefined);
}

/** Reads `--mac-address`. */
export function macOf({ macAddress }: NetworkFlags): string | undefined {
  if (macAddress === undefined || /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(macAddress)) return macAddress;
  throw new CommandFailure(`--mac-address ${macAddress}: it is not six bytes with ":" between`, { exitCode: failed });
}
