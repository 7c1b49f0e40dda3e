import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import type { DaemonServer } from "@ctrd/core/services";
import type { BoundService, RpcServer, RpcServerOptions, ServerTls } from "@ctrd/services";
import { createRpcServer } from "@ctrd/services";
import { readFile } from "node:fs/promises";
import type { TcpServerConfig } from "./config.ts";
import { parseTcpAddress } from "./metrics-server.ts";

/**
 * The daemon's gRPC server on a TCP address; none when that is empty.
 *
 * @throws ContainerdError `invalid-argument` for a bad address, `failed-precondition` when a key or certificate cannot be
 * read
 */
export async function tcpServer(
  config: TcpServerConfig,
  services: readonly BoundService[],
  options: RpcServerOptions,
): Promise<DaemonServer> {
  if (config.address === "") return { address: "", start: async () => {}, stop: async () => {} };
  const address = parseTcpAddress(config.address, "gRPC");
  const tls = await readTls(config);
  const server: RpcServer = createRpcServer(services, {
    ...options,
    maxReceiveBytes: config.max_recv_message_size,
    maxSendBytes: config.max_send_message_size,
    ...(tls === undefined ? {} : { tls }),
  });
  return {
    address: config.address,
    async start() {
      await server.listen(address);
    },
    stop: (graceMs) => server.stop(graceMs),
  };
}

async function readTls(config: TcpServerConfig): Promise<ServerTls | undefined> {
  if (config.tls_cert === "" && config.tls_key === "") {
    if (config.tls_ca === "") return undefined;
    throw failedPrecondition("gRPC over TCP: tls_ca asks clients for certificates, which needs tls_cert and tls_key");
  }
  const [cert, key, ca] = await Promise.all([
    readPem("tls_cert", config.tls_cert),
    readPem("tls_key", config.tls_key),
    config.tls_ca === "" ? undefined : readPem("tls_ca", config.tls_ca),
  ]);
  return { cert, key, ...(ca === undefined ? {} : { ca }) };
}

async function readPem(key: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw failedPrecondition(`gRPC over TCP: read ${key} "${path}": ${messageOf(error)}`, { cause: error });
  }
}
