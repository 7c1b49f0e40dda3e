/**
 * Subnets: which ones overlap, and one that is free.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { BlockList, isIP, isIPv4 } from "node:net";
import { errnoOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";

/** A range of addresses. */
export interface Subnet {
  readonly base: string;
  readonly prefix: number;
}

/** Reads `10.4.0.0/24`. @throws CommandFailure that names the flag */
export function parseSubnet(flag: string, text: string): Subnet {
  const subnet = readSubnet(text);
  if (subnet === undefined) {
    throw new CommandFailure(`${flag} needs <address>/<prefix length>, as 10.4.1.0/24, got ${JSON.stringify(text)}`);
  }
  return subnet;
}

/** Reads a subnet; undefined when it is none. */
export function readSubnet(text: string): Subnet | undefined {
  const [, base = "", prefix = ""] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const version = isIP(base);
  if (version === 0 || Number(prefix) > (version === 4 ? 32 : 128)) return undefined;
  return { base, prefix: Number(prefix) };
}

/** Whether two subnets have an address in common. */
export function overlap(a: Subnet, b: Subnet): boolean {
  return isIPv4(a.base) === isIPv4(b.base) && (contains(a, b.base) || contains(b, a.base));
}

/** Whether an address is in a subnet. */
export function contains({ base, prefix }: Subnet, address: string): boolean {
  const list = new BlockList();
  list.addSubnet(base, prefix, isIPv4(base) ? "ipv4" : "ipv6");
  return list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}

/** The networks that our own ones must not cover, and where one is looked for. */
const pool = Array.from({ length: 256 }, (_, index): Subnet => ({ base: `10.4.${index}.0`, prefix: 24 }));

/** A subnet that is not used. @throws CommandFailure when there is none */
export function freeSubnet(used: readonly Subnet[]): Subnet {
  const free = pool.find((subnet) => !used.some((other) => overlap(subnet, other)));
  if (free !== undefined) return free;
  throw new CommandFailure("all subnets of 10.4.0.0/16 are in use", { remedy: "name another one: --subnet" });
}

/** The subnets that this machine has routes to, but the default route and those of the interface `except`. */
export async function routedSubnets(except: string): Promise<Subnet[]> {
  let text: string;
  try {
    text = await readFile("/proc/net/route", "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .filter((fields) => fields.length > 7 && fields[0] !== except)
    .map((fields) => ({ base: addressOf(fields[1] ?? ""), prefix: bitsOf(fields[7] ?? "") }))
    .filter(({ prefix }) => prefix > 0);
}

/** The kernel writes addresses in the byte order of the machine, which is little-endian wherever this runs. */
function addressOf(hex: string): string {
  return Buffer.from(hex, "hex").reverse().join(".");
}

function bitsOf(hex: string): number {
  return [...Number.parseInt(hex, 16).toString(2)].filter((digit) => digit === "1").length;
}
