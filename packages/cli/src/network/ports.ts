/**
 * Published ports, as flags and people write them.
 *
 * @module
 */
import { isIP } from "node:net";
import type { PortMapping } from "@ctrd/cni";
import { CommandFailure } from "../failure.ts";

/** A port that is to be published; the host's is chosen when it is 0. */
type WantedPort = PortMapping;

/**
 * Reads `-p [address:][host port:]container port[/protocol]`, also with ranges of the same length.
 *
 * @throws CommandFailure that says what is wrong
 */
export function parsePublish(text: string): WantedPort[] {
  const wrong = (what: string): CommandFailure =>
    new CommandFailure(`-p ${text}: ${what}`, {
      exitCode: 125,
      remedy: "as in: -p 8080:80, -p 127.0.0.1:8080:80/udp, -p 8000-8003:80-83, -p 80",
    });
  const [, main = "", protocol = "tcp"] = /^(.*?)(?:\/(\w+))?$/.exec(text) ?? [];
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
    throw wrong(`the protocol is tcp, udp or sctp, not "${protocol}"`);
  }
  const [, bracketed, plain, host = "", container = ""] =
    /^(?:(?:\[([^\]]*)\]|([^:]*)):(?=.*:))?(?:([\d-]*):)?([\d-]+)$/.exec(main) ?? [];
  if (container === "") throw wrong("it is not <address>:<host port>:<container port>");
  const address = bracketed ?? plain ?? "";
  if (address !== "" && isIP(address) === 0) throw wrong(`"${address}" is not an address`);
  const inside = parseRange(container);
  if (inside === undefined) throw wrong(`"${container}" is not a port or a range of ports`);
  const outside = host === "" ? inside.map(() => 0) : parseRange(host);
  if (outside === undefined) throw wrong(`"${host}" is not a port or a range of ports`);
  if (outside.length !== inside.length) throw wrong(`the ranges have ${outside.length} and ${inside.length} ports`);
  return inside.map((containerPort, index) => ({
    hostPort: outside[index] ?? 0,
    containerPort,
    protocol,
    // All addresses is what no address means.
    ...(address === "" || address === "0.0.0.0" ? {} : { hostIP: address }),
  }));
}

const maxPort = 65_535;

function parseRange(text: string): number[] | undefined {
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === "" || from < 1 || to > maxPort || to < from) return undefined;
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** Whether two published ports are the same one of the host. */
export function collide(a: PortMapping, b: PortMapping): boolean {
  const any = (address: string | undefined): boolean => address === undefined || address === "::";
  const sameAddress = any(a.hostIP) || any(b.hostIP) || a.hostIP === b.hostIP;
  return a.hostPort === b.hostPort && a.protocol === b.protocol && sameAddress;
}

/** @throws CommandFailure when two of the ports are the same one of the host */
export function checkDistinct(ports: readonly PortMapping[]): void {
  for (const [index, port] of ports.entries()) {
    if (port.hostPort === 0 || !ports.slice(0, index).some((other) => collide(port, other))) continue;
    throw new CommandFailure(`-p: port ${hostText(port)} is published twice`, { exitCode: 125 });
  }
}

/** `127.0.0.1:8080/tcp`, `8080/tcp`. */
export function hostText({ hostIP, hostPort, protocol }: PortMapping): string {
  return `${hostIP === undefined ? "" : `${bracket(hostIP)}:`}${hostPort}/${protocol}`;
}

/** Ports in one cell of a table, as Docker writes them: `0.0.0.0:8080->80/tcp`. */
export function portsText(ports: readonly PortMapping[]): string {
  return ports
    .map(({ hostIP = "0.0.0.0", hostPort, containerPort, protocol }) => {
      return `${bracket(hostIP)}:${hostPort}->${containerPort}/${protocol}`;
    })
    .join(", ");
}

function bracket(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
