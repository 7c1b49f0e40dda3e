import { errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import { once } from "node:events";
import { chmod, chown, lstat, mkdir, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { connect } from "node:net";
import { dirname } from "node:path";
import { socketOwner } from "./socket-owner.ts";

/** Longest socket path in bytes; the kernel's limit is 107, containerd's is 104. */
export const maxSocketPath = 104;

/** A unix socket to listen on. */
export interface SocketAddress {
  /** Absolute path, at most 104 bytes. A missing parent directory is created with mode 0770. */
  readonly path: string;
  /** Owner of the socket and of a created parent; the process's by default. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits; 0660 by default. */
  readonly mode?: number;
}

/** A TCP address to listen on. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** Where to listen. */
export type ListenAddress = SocketAddress | TcpAddress;

/**
 * Makes `server` listen. A socket file that nobody listens on is replaced; a live one is an error.
 *
 * @throws ContainerdError `failed-precondition` when the address is in use, `invalid-argument` for a bad path
 */
export async function listen(server: Server, address: ListenAddress): Promise<void> {
  if ("path" in address) await listenOnSocket(server, address);
  else await listenOnTcp(server, address);
}

/** The address as text, with the real port. */
export function describeAddress(server: Server, address: ListenAddress): string {
  if ("path" in address) return address.path;
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${port}`;
}

async function listenOnTcp(server: Server, address: TcpAddress): Promise<void> {
  try {
    server.listen({ host: address.host, port: address.port });
    await once(server, "listening");
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
    throw failedPrecondition(
      `listen on ${address.host}:${address.port}: the address is in use by another process; stop it or choose another`,
      { cause: error },
    );
  }
}

async function listenOnSocket(server: Server, address: SocketAddress): Promise<void> {
  const { path } = address;
  checkSocketPath(path);
  await createParent(address);
  await removeStaleSocket(path);
  try {
    server.listen(path);
    await once(server, "listening");
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
    throw await inUse(path, { cause: error });
  }
  await chmod(path, address.mode ?? 0o660);
  if (address.uid !== undefined || address.gid !== undefined) {
    await chown(path, address.uid ?? process.geteuid?.() ?? 0, address.gid ?? process.getegid?.() ?? 0);
  }
}

/** @throws ContainerdError `invalid-argument` unless `path` is absolute and fits into a socket address */
export function checkSocketPath(path: string): void {
  if (!path.startsWith("/")) throw invalidArgument(`socket address "${path}" must be an absolute path`);
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPath) {
    throw invalidArgument(
      `socket address "${path}" has ${bytes} bytes, at most ${maxSocketPath} are allowed; choose a shorter path`,
    );
  }
}

async function createParent(address: SocketAddress): Promise<void> {
  const first = await mkdir(dirname(address.path), { recursive: true, mode: 0o770 });
  if (first === undefined) return;
  const parent = dirname(address.path);
  // mkdir's mode is cut by the umask.
  await chmod(parent, 0o770);
  if (address.uid !== undefined || address.gid !== undefined) {
    await chown(parent, address.uid ?? process.geteuid?.() ?? 0, address.gid ?? process.getegid?.() ?? 0);
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  let stats;
  try {
    stats = await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  if (!stats.isSocket()) {
    throw failedPrecondition(`listen on "${path}": it exists and is not a socket; remove it or choose another address`);
  }
  if (await someoneListens(path)) throw await inUse(path);
  await unlink(path);
}

/** Whether a process accepts connections on the socket `path`. */
async function someoneListens(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ECONNREFUSED" || errno === "ENOENT") return false;
    // A full backlog is a live listener too.
    if (errno === "EAGAIN") return true;
    throw error;
  } finally {
    socket.destroy();
  }
}

async function inUse(path: string, context: { cause?: unknown } = {}): Promise<Error> {
  const owner = (await socketOwner(path)) ?? "another process";
  return failedPrecondition(
    `address "${path}" is in use by ${owner}; stop it, or choose another address (of ctrd: --address)`,
    context,
  );
}
