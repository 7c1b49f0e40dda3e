/**
 * Configurations of networks that we make. Nothing here has an effect.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { isIPv6 } from "node:net";

/** Drivers of `ctrd network create`. */
export const drivers = ["bridge", "macvlan", "ipvlan"] as const;
export type Driver = (typeof drivers)[number];

/** A range of addresses for containers. */
export interface AddressRange {
  readonly subnet: string;
  readonly gateway?: string;
  readonly rangeStart?: string;
  readonly rangeEnd?: string;
}

/** A network to be made. */
export interface NetworkDefinition {
  readonly name: string;
  readonly driver: Driver;
  readonly ranges: readonly AddressRange[];
  /** `parent`, `mode`, `mtu`, of the driver. */
  readonly options: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** No way out. */
  readonly internal: boolean;
  /** Where leases are kept. */
  readonly leaseDirectory: string;
  /** Plugins that are installed, of those that are good to have. */
  readonly extras: ReadonlySet<string>;
}

/** Name of the network that containers are on unless something else is said. */
export const bridgeNetwork = "bridge";
/** Plugins that a bridge has when they are installed. */
export const extraPlugins: readonly string[] = ["portmap", "firewall", "tuning"];
/** Key of what we note in a configuration. */
export const ownKey = "ctrd";

/** Interface of a bridge network. Names of interfaces are short. */
export function bridgeName(network: string): string {
  if (network === bridgeNetwork) return "ctrd0";
  return `br-${createHash("sha256").update(network).digest("hex").slice(0, 12)}`;
}

/** The document of a network. */
export function conflistOf(definition: NetworkDefinition): Record<string, unknown> {
  const { name, driver, labels, internal, extras } = definition;
  const plugins = driver === "bridge" ? bridgePlugins(definition) : [lanPlugin(definition)];
  if (driver === "bridge" && !internal && extras.has("portmap")) {
    plugins.push({ type: "portmap", capabilities: { portMappings: true } });
  }
  // Bridges do not reach each other.
  if (driver === "bridge" && extras.has("firewall")) plugins.push({ type: "firewall", ingressPolicy: "same-bridge" });
  if (extras.has("tuning")) plugins.push({ type: "tuning" });
  return { cniVersion: "1.0.0", name, [ownKey]: { driver, labels: Object.fromEntries(labels), internal }, plugins };
}

function bridgePlugins(definition: NetworkDefinition): Record<string, unknown>[] {
  const mtu = definition.options.get("mtu");
  return [
    {
      type: "bridge",
      bridge: definition.options.get("bridge") ?? bridgeName(definition.name),
      isGateway: true,
      ipMasq: !definition.internal,
      hairpinMode: true,
      ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
      capabilities: { ips: true, mac: true },
      ipam: ipamOf(definition),
    },
  ];
}

/** Networks on an interface of the host. */
function lanPlugin(definition: NetworkDefinition): Record<string, unknown> {
  const { driver, options } = definition;
  const [parent, mode, mtu] = [options.get("parent"), options.get("mode"), options.get("mtu")];
  return {
    type: driver,
    ...(parent === undefined ? {} : { master: parent }),
    ...(mode === undefined ? {} : { mode }),
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
    capabilities: driver === "macvlan" ? { ips: true, mac: true } : { ips: true },
    ipam: ipamOf(definition),
  };
}

function ipamOf({ ranges, internal, leaseDirectory }: NetworkDefinition): Record<string, unknown> {
  const families = new Set(ranges.map(({ subnet }) => (isIPv6(subnet.split("/")[0] ?? "") ? "::/0" : "0.0.0.0/0")));
  return {
    type: "host-local",
    dataDir: leaseDirectory,
    ranges: ranges.map((range) => [range]),
    routes: internal ? [] : [...families].map((dst) => ({ dst })),
  };
}
