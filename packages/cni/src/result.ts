/**
 * What plugins answer, in one shape for all versions of the specification.
 *
 * @module
 */
import { isIP } from "node:net";
import { invalidArgument } from "@ctrd/core/errors";
import type { JsonObject } from "./json.ts";
import { isObject, kindOfJson, objectsOf, stringsOf, textOf } from "./json.ts";
import type { CniVersion } from "./versions.ts";
import { versionAtLeast } from "./versions.ts";

/** An interface that a plugin made. */
export interface ResultInterface {
  readonly name: string;
  readonly mac?: string;
  /** Network namespace that it is in; none for one of the host's. */
  readonly sandbox?: string;
  readonly mtu?: number;
  readonly socketPath?: string;
  readonly pciId?: string;
}

/** An address that a plugin gave. */
export interface ResultAddress {
  /** With the length of its prefix: `10.4.0.2/24`. */
  readonly address: string;
  readonly gateway?: string;
  /** Index of its interface. */
  readonly interface?: number;
}

/** A route that a plugin made. */
export interface ResultRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

/** What is to be known about names. */
export interface ResultDns {
  readonly nameservers: readonly string[];
  readonly domain?: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** The state of a container's attachment to a network. */
export interface NetworkResult {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultAddress[];
  readonly routes: readonly ResultRoute[];
  readonly dns: ResultDns;
}

/** What nothing has been done for. */
export const emptyResult: NetworkResult = {
  interfaces: [],
  ips: [],
  routes: [],
  dns: { nameservers: [], search: [], options: [] },
};

/**
 * Reads the result of a plugin; all versions from 0.3.0 on have this shape or less.
 *
 * @throws ContainerdError `invalid-argument` that names the key
 */
export function parseResult(value: unknown): NetworkResult {
  if (!isObject(value)) throw invalidArgument(`result is ${kindOfJson(value)}, not an object`);
  const interfaces = objectsOf(value["interfaces"]).map(parseInterface);
  return {
    interfaces,
    ips: objectsOf(value["ips"]).map((address, index) => parseAddress(address, index, interfaces.length)),
    routes: objectsOf(value["routes"]).map(parseRoute),
    dns: parseDns(value["dns"]),
  };
}

function parseInterface(value: JsonObject): ResultInterface {
  return {
    name: textOf(value["name"]) ?? "",
    ...texts(value, { mac: "mac", sandbox: "sandbox", socketPath: "socketPath", pciId: "pciID" }),
    ...numbers(value, ["mtu"]),
  };
}

function parseAddress(value: JsonObject, index: number, interfaces: number): ResultAddress {
  const { address, interface: place } = value;
  const [ip = "", prefix = "", ...more] = typeof address === "string" ? address.split("/") : [];
  const bits = isIP(ip) === 6 ? 128 : 32;
  if (isIP(ip) === 0 || more.length > 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) {
    throw invalidArgument(
      `result: "ips[${index}].address" must be <address>/<prefix length>, got ${JSON.stringify(address)}`,
    );
  }
  if (place !== undefined && place !== null) {
    if (!Number.isInteger(place) || (place as number) < 0 || (place as number) >= interfaces) {
      throw invalidArgument(
        `result: "ips[${index}].interface" is ${JSON.stringify(place)}, of ${interfaces} interfaces`,
      );
    }
  }
  return {
    address: `${ip}/${prefix}`,
    ...texts(value, { gateway: "gateway" }),
    ...numbers(value, ["interface"]),
  };
}

function parseRoute(value: JsonObject): ResultRoute {
  return {
    dst: textOf(value["dst"]) ?? "",
    ...texts(value, { gw: "gw" }),
    ...numbers(value, ["mtu", "advmss", "priority", "table", "scope"]),
  };
}

function parseDns(value: unknown): ResultDns {
  if (!isObject(value)) return emptyResult.dns;
  return {
    nameservers: stringsOf(value["nameservers"]),
    ...texts(value, { domain: "domain" }),
    search: stringsOf(value["search"]),
    options: stringsOf(value["options"]),
  };
}

function texts<K extends string>(value: JsonObject, keys: Record<K, string>): Partial<Record<K, string>> {
  const found: Partial<Record<K, string>> = {};
  for (const name of Object.keys(keys) as K[]) {
    const text = textOf(value[keys[name]]);
    if (text !== undefined) found[name] = text;
  }
  return found;
}

function numbers<K extends string>(value: JsonObject, keys: readonly K[]): Partial<Record<K, number>> {
  const found: Partial<Record<K, number>> = {};
  for (const key of keys) {
    const number = value[key];
    if (typeof number === "number") found[key] = number;
  }
  return found;
}

/** A result as a plugin of `version` takes it (`prevResult`). What that version does not know is left out. */
export function encodeResult(result: NetworkResult, version: CniVersion): JsonObject {
  const [named, newest] = [!versionAtLeast(version, "1.0.0"), versionAtLeast(version, "1.1.0")];
  return {
    cniVersion: version,
    interfaces: result.interfaces.map(({ pciId, mtu, socketPath, ...known }) => ({
      ...known,
      ...(newest && mtu !== undefined ? { mtu } : {}),
      ...(newest && socketPath !== undefined ? { socketPath } : {}),
      ...(newest && pciId !== undefined ? { pciID: pciId } : {}),
    })),
    ips: result.ips.map((ip) => (named ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip)),
    routes: result.routes.map((route) => {
      if (newest) return route;
      const { dst, gw } = route;
      return { dst, ...(gw === undefined ? {} : { gw }) };
    }),
    dns: result.dns,
  };
}
