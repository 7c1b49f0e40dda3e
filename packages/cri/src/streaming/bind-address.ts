/**
 * Addresses of this machine.
 *
 * @module
 */
import { networkInterfaces } from "node:os";

/** The address itself, or, when it is empty, the first one of this machine that others reach, else loopback. */
export function bindAddress(address: string): string {
  return address === "" ? (externalAddresses()[0] ?? "127.0.0.1") : address;
}

/** Addresses of all interfaces but loopback, IPv4 first. */
export function externalAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const external = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return external.toSorted((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address);
}
