/**
 * Addresses of shims. Pure.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { failedPrecondition, invalidArgument, notImplemented } from "@ctrd/core/errors";

/** Longest path that fits a unix socket's address, in bytes. */
const maxSocketPath = 106;

/** Where shims put their sockets unless told otherwise. */
export const defaultSocketDir = "/run/containerd/s";

/** How to reach a shim. */
export interface Endpoint {
  /** Version of the task API: 2 or 3. */
  version: number;
  /** For example `unix:///run/containerd/s/…`. */
  address: string;
  /** `ttrpc` or `grpc`. */
  protocol: string;
}

/**
 * The unix socket path of an address.
 *
 * @throws ContainerdError `failed-precondition` for an abstract socket (CVE-2020-15257: reachable from every container
 * in the host's network namespace), `not-implemented` for other schemes, `invalid-argument` for a bad path
 */
export function socketPath(address: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(address)?.[1];
  if (scheme === undefined) {
    throw failedPrecondition(
      `shim address "${address}" is an abstract unix socket, which any container with the host's network can reach; ` +
        "use a shim of containerd 1.4 or newer",
    );
  }
  if (scheme !== "unix") throw notImplemented(`shim address "${address}": scheme ${scheme}`);
  const path = address.slice("unix://".length);
  if (!path.startsWith("/")) throw invalidArgument(`shim address "${address}" has no absolute path`);
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw invalidArgument(`shim address "${address}" is longer than ${maxSocketPath} bytes`);
  }
  return path;
}

/**
 * Splits a stored endpoint such as `ttrpc+unix:///run/…`.
 *
 * @throws ContainerdError `invalid-argument` when the protocol is missing
 */
export function parseEndpoint(text: string, version: number): Endpoint {
  const plus = text.indexOf("+");
  if (plus <= 0) {
    throw invalidArgument(`task API address "${text}" must be of the form <protocol>+<address>, as ttrpc+unix:///…`);
  }
  return { version, protocol: text.slice(0, plus), address: text.slice(plus + 1) };
}

/** The socket that Go's shims choose for a task (or for its group). */
export function usualSocketAddress(socketDir: string, grpcAddress: string, namespace: string, id: string): string {
  const hash = createHash("sha256")
    .update(join(grpcAddress, namespace, id))
    .digest("hex");
  return `unix://${join(socketDir, hash)}`;
}
