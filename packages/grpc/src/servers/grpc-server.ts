import type { DaemonServer } from "@ctrd/core/services";
import type { BoundService, RpcServerOptions, SocketAddress } from "@ctrd/services";
import { createRpcServer } from "@ctrd/services";

/** The daemon's gRPC server on a unix socket. */
export function grpcServer(
  socket: SocketAddress,
  services: readonly BoundService[],
  options: RpcServerOptions,
): DaemonServer {
  const server = createRpcServer(services, options);
  return {
    address: socket.path,
    async start() {
      await server.listen(socket);
    },
    stop: (graceMs) => server.stop(graceMs),
  };
}
