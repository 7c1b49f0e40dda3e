import type { BoundService, RpcServerOptions, SocketAddress } from "./rpc/index.ts";
import { createRpcServer } from "./rpc/index.ts";

/** Options of {@link serveOnSocket}: those of the server and of the socket file. */
export interface ServeOnSocketOptions extends RpcServerOptions, Omit<SocketAddress, "path"> {
  /** How long calls may take when the server stops, in milliseconds; 1000 by default. */
  readonly graceMs?: number;
}

/** A server that runs until it is disposed of. */
export interface ServedSocket extends AsyncDisposable {
  readonly path: string;
  /** Stops accepting, lets calls end, and removes the socket. Disposing does the same. */
  stop(): Promise<void>;
}

/**
 * Serves any services on a unix socket. For one component there are `serveSnapshotter` and its like.
 *
 * ```ts
 * await using server = await serveOnSocket("/run/mine.sock", [serveImages(images), serveLeases(leases)]);
 * ```
 *
 * @throws ContainerdError `failed-precondition` when another process serves `path`
 */
export async function serveOnSocket(
  path: string,
  services: readonly BoundService[],
  options: ServeOnSocketOptions = {},
): Promise<ServedSocket> {
  const server = createRpcServer(services, options);
  await server.listen({ ...options, path });
  const stop = (): Promise<void> => server.stop(options.graceMs ?? 1_000);
  return { path, stop, [Symbol.asyncDispose]: stop };
}
