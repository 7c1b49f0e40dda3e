/**
 * Who has a port of this machine.
 *
 * @module
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import type { PortMapping } from "@ctrd/cni";
import { NetworkNamespace } from "@ctrd/cni";
import { CommandFailure } from "../failure.ts";
import { collide, hostText } from "./ports.ts";
import type { NetworkedContainer } from "./request.ts";
import { allContainers } from "./request.ts";

/**
 * Checks that ports are free.
 *
 * @param own directory of the container that wants them
 * @throws CommandFailure that names the port and who has it
 */
export async function checkPortsFree(ports: readonly PortMapping[], root: string, own: string): Promise<void> {
  if (ports.length === 0) return;
  const others = (await allContainers(root)).filter((other) => other.directory !== own && isUp(other));
  for (const port of ports) {
    const container = others.find(({ state }) => state?.ports.some((taken) => collide(port, taken)));
    if (container !== undefined) throw taken(port, describe(container));
    const socket = await listenerOf(port);
    if (socket !== undefined) throw taken(port, await processOf(socket));
  }
}

function taken(port: PortMapping, by: string): CommandFailure {
  return new CommandFailure(`port ${hostText(port)} is taken by ${by}`, {
    exitCode: 125,
    remedy: `stop that, or publish on another port: -p <port>:${port.containerPort}`,
  });
}

function describe({ request: { id, name } }: NetworkedContainer): string {
  return `container "${name}" (${id.slice(0, 12)})`;
}

/** After a reboot the note of a container is left, but not its network. */
function isUp({ state }: NetworkedContainer): boolean {
  return state !== undefined && NetworkNamespace.exists(state.netns);
}

/** A port of the host that is neither listened on nor published. */
export async function isPortFree(port: PortMapping, published: readonly PortMapping[]): Promise<boolean> {
  return !published.some((other) => collide(port, other)) && (await listenerOf(port)) === undefined;
}

const listening = "0A";

/** The inode of the socket that listens on a port; undefined when there is none. */
async function listenerOf(port: PortMapping): Promise<string | undefined> {
  const { protocol, hostIP } = port;
  if (protocol === "sctp") return undefined;
  for (const family of ["", "6"]) {
    for (const line of (await readTable(`/proc/net/${protocol}${family}`)).split("\n").slice(1)) {
      const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
      const [address = "", number = ""] = local.split(":");
      if (Number.parseInt(number, 16) !== port.hostPort || (protocol === "tcp" && state !== listening)) continue;
      const here = addressText(address);
      if (hostIP === undefined || hostIP === "::" || here === hostIP || /^(0\.0\.0\.0|any)$/.test(here)) return inode;
    }
  }
  return undefined;
}

/** The kernel writes four bytes at a time, in the byte order of the machine. Of IPv6 only the mapped ones and all matter. */
function addressText(hex: string): string {
  const text = Buffer.from(hex.slice(-8), "hex").reverse().join(".");
  if (hex.length === 8 || hex.startsWith("0000000000000000FFFF0000")) return text;
  return /^0+$/.test(hex) ? "any" : "";
}

async function readTable(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    // Without IPv6 there is no such table; without any there is nobody to ask.
    return "";
  }
}

/** Names the process that has a socket. */
async function processOf(inode: string): Promise<string> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await descriptorsOf(pid)) {
      if (fd === `socket:[${inode}]`) return `process ${pid} (${(await readTable(`/proc/${pid}/comm`)).trim()})`;
    }
  }
  return "a process of this machine";
}

async function descriptorsOf(pid: string): Promise<string[]> {
  try {
    const names = await readdir(`/proc/${pid}/fd`);
    return await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
  } catch {
    // It has ended, or is somebody else's.
    return [];
  }
}
