/**
 * The debug socket. What answers is loaded with the first connection: most daemons never have one.
 *
 * @module
 */
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { DaemonServer } from "@ctrd/core/services";
import type { SocketAddress } from "@ctrd/services";
import { listen } from "@ctrd/services";
import type { DebugHandler } from "./handler.ts";
import type { DebugSources } from "./state.ts";

/** Serves profiles, heap snapshots and stacks on a socket for its owner only. */
export function debugServer(socket: Omit<SocketAddress, "mode">, sources: DebugSources, log: Logger): DaemonServer {
  return new DebugSocket(socket, sources, log);
}

class DebugSocket implements DaemonServer {
  readonly address: string;
  readonly #socket: SocketAddress;
  readonly #sources: DebugSources;
  readonly #log: Logger;
  readonly #server: Server;
  readonly #connections: Set<Socket> = new Set();
  #handler: Promise<DebugHandler> | undefined;

  constructor(socket: Omit<SocketAddress, "mode">, sources: DebugSources, log: Logger) {
    this.address = socket.path;
    // A heap snapshot holds every secret that the daemon knows.
    this.#socket = { ...socket, mode: 0o600 };
    this.#sources = sources;
    this.#log = log;
    this.#server = createServer((connection) => void this.#accept(connection));
  }

  async start(): Promise<void> {
    await listen(this.#server, this.#socket);
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.destroy();
    await closed;
  }

  async #accept(connection: Socket): Promise<void> {
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.on("error", () => {});
    try {
      this.#handler ??= import("./handler.ts").then((module) => module.createDebugHandler(this.#sources, this.#log));
      (await this.#handler).accept(connection);
    } catch (error) {
      this.#log.error({ err: messageOf(error) }, "cannot answer debug requests");
      connection.destroy();
    }
  }
}
