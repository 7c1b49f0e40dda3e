import type { Logger } from "@ctrd/core/log";
import type { DaemonServer } from "@ctrd/core/services";
import type { SocketAddress, TtrpcService } from "@ctrd/services";
import { listen } from "@ctrd/services";
import { peerCredentials } from "@ctrd/sys";
import { TtrpcServer } from "@ctrd/ttrpc";
import { createServer } from "node:net";

/** The daemon's ttrpc server on a unix socket, for shims. Only processes of the daemon's own user may connect. */
export function ttrpcServer(socket: SocketAddress, services: readonly TtrpcService[], log: Logger): DaemonServer {
  const server = new TtrpcServer({
    peerCredentials,
    onRefused: (reason) => log.warn({ reason, address: socket.path }, "refused a ttrpc connection"),
  });
  for (const service of services) service.register(server);
  const acceptor = createServer((connection) => server.accept(connection));
  return {
    address: socket.path,
    start: () => listen(acceptor, socket),
    async stop(graceMs) {
      const closed = acceptor.listening
        ? new Promise<void>((resolve) => acceptor.close(() => resolve()))
        : Promise.resolve();
      await server.shutdown(AbortSignal.timeout(graceMs));
      await closed;
    },
  };
}
