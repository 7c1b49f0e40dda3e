/**
 * The ttrpc server.
 *
 * @module
 */
import { chmodSync, existsSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { isMainThread } from "node:worker_threads";
import { failedPrecondition } from "@ctrd/core/errors";
import type { PeerCredentials } from "./call-context.ts";
import type { ServiceDefinition } from "./definition.ts";
import type { Handlers } from "./handlers.ts";
import { ServiceRegistry } from "./handlers.ts";
import { ServerConnection } from "./server-connection.ts";

/** Options of a {@link TtrpcServer}. */
export interface TtrpcServerOptions {
  /**
   * Reads the credentials of a connected unix socket (`peerCredentials` of `@ctrd/sys`). With it every connection is
   * checked by `authorize` before a byte of it is read.
   */
  peerCredentials?: (fd: number) => PeerCredentials;
  /** Whether a peer may connect; default: its uid and gid are this process's effective ones. */
  authorize?: (peer: PeerCredentials) => boolean;
  /** Told about connections that were refused and why. */
  onRefused?: (reason: string) => void;
}

/** Serves registered services on unix sockets and on connections it is given. */
export class TtrpcServer {
  readonly #services: ServiceRegistry = new ServiceRegistry();
  readonly #options: TtrpcServerOptions;
  readonly #listeners: Set<Server> = new Set();
  readonly #connections: Set<ServerConnection> = new Set();
  #idle: (() => void)[] = [];
  #stopped = false;

  constructor(options: TtrpcServerOptions = {}) {
    this.#options = options;
  }

  /** Adds a service. Methods without a handler answer Unimplemented. */
  register<D extends ServiceDefinition>(definition: D, handlers: Handlers<D>): void {
    this.#services.register(definition, handlers);
  }

  /**
   * Listens on the unix socket `path`; a stale socket file there is removed first.
   *
   * @param mode permission bits of the socket file
   * @throws ContainerdError `failed-precondition` when another process serves `path`
   */
  async listen(path: string, mode = 0o600): Promise<void> {
    await removeStaleSocket(path);
    const listener = createServer((socket) => this.accept(socket));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    listener.once("error", reject);
    // bind(2) happens inside listen(), so the mask covers it and the file is never wider than `mode`.
    const mask = isMainThread ? process.umask(0o777 & ~mode) : undefined;
    listener.listen(path, resolve);
    if (mask !== undefined) process.umask(mask);
    await promise;
    chmodSync(path, mode);
    this.#listeners.add(listener);
  }

  /** Serves one connected socket, or another stream, which the server owns from now on. */
  accept(socket: Duplex): void {
    let peer: PeerCredentials | undefined;
    try {
      if (this.#stopped) throw new Error("the server is shutting down");
      peer = this.#check(socket);
    } catch (error) {
      this.#options.onRefused?.(error instanceof Error ? error.message : String(error));
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    const connection: ServerConnection = new ServerConnection(socket, this.#services, peer, () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) for (const idle of this.#idle.splice(0)) idle();
    });
    this.#connections.add(connection);
  }

  /**
   * Stops listening, closes each connection once it has no running call, and resolves when none is left.
   *
   * @param signal closes the rest at once when it aborts
   */
  async shutdown(signal?: AbortSignal): Promise<void> {
    this.#stopListening();
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    const force = (): void => this.#destroyConnections();
    signal?.addEventListener("abort", force);
    if (signal?.aborted === true) force();
    await promise;
    signal?.removeEventListener("abort", force);
  }

  /** Stops listening and closes every connection; running calls are aborted. */
  close(): void {
    this.#stopListening();
    this.#destroyConnections();
  }

  #stopListening(): void {
    this.#stopped = true;
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
  }

  #destroyConnections(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  #check(socket: Duplex): PeerCredentials | undefined {
    const { peerCredentials, authorize = isSameUser } = this.#options;
    if (peerCredentials === undefined) return undefined;
    const fd = socketFd(socket);
    if (fd === undefined) throw new Error("peer credentials: the connection has no descriptor");
    const peer = peerCredentials(fd);
    if (!authorize(peer)) {
      throw new Error(`peer credentials: uid ${peer.uid} gid ${peer.gid} (pid ${peer.pid}) may not connect`);
    }
    return peer;
  }
}

/** The rule of containerd's own ttrpc sockets: the peer's uid and gid are this process's effective ones. */
function isSameUser(peer: PeerCredentials): boolean {
  return peer.uid === process.geteuid?.() && peer.gid === process.getegid?.();
}

/** Descriptor of a socket; Node keeps it on the handle and has no public accessor. */
function socketFd(socket: Duplex): number | undefined {
  const { _handle: handle } = socket as Duplex & { _handle?: { fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}

async function removeStaleSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect({ path });
  probe.once("connect", () => resolve(true));
  probe.once("error", () => resolve(false));
  const alive = await promise;
  probe.destroy();
  if (alive) throw failedPrecondition(`listen on ${path}: another process serves this socket; stop it first`);
  unlinkSync(path);
}
