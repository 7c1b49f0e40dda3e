/** Which of its addresses a pod is known by. */
import { isIP } from "node:net";
import { failedPrecondition } from "@ctrd/core/errors";

/** Addresses of a pod: the first is its own, the others are told as well. */
export interface PodAddress {
  readonly ip: string;
  readonly additionalIps: readonly string[];
}

/**
 * Chooses by `ip_pref`: `cni` keeps the order of the network programs, `ipv6` takes that family first, all else IPv4.
 *
 * @throws ContainerdError `failed-precondition` when there is none
 */
export function podAddress(addresses: readonly string[], preference: string): PodAddress {
  const family = preference === "ipv6" ? 6 : 4;
  const preferred = preference === "cni" ? undefined : addresses.find((address) => isIP(address) === family);
  const ip = preferred ?? addresses[0];
  if (ip === undefined)
    throw failedPrecondition("the network gave eth0 no address; look at the ipam of its configuration");
  return { ip, additionalIps: addresses.filter((address) => address !== ip) };
}
