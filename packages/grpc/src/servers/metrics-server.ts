import type { Logger } from "@ctrd/core/log";
import type { DaemonServer } from "@ctrd/core/services";
import type { TcpAddress } from "@ctrd/services";
import { listen } from "@ctrd/services";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { invalidArgument } from "@ctrd/core/errors";
import { prometheusContentType } from "../metrics/prometheus-text.ts";

/** Serves `collect`'s text at `/v1/metrics`. An empty address switches it off. */
export function metricsServer(address: string, collect: () => Promise<string>, log: Logger): DaemonServer {
  if (address === "") return { address: "", start: async () => {}, stop: async () => {} };
  const tcp = parseTcpAddress(address);
  const server: Server = createServer((request, response) => {
    answer(request, response, collect).catch((error: unknown) => {
      log.error({ err: error }, "cannot collect metrics");
      response.writeHead(500).end();
    });
  });
  return {
    address,
    start: () => listen(server, tcp),
    async stop() {
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  collect: () => Promise<string>,
): Promise<void> {
  const path = request.url?.split("?")[0];
  if (path !== "/v1/metrics") {
    response.writeHead(404).end();
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  const text = await collect();
  response.writeHead(200, { "content-type": prometheusContentType }).end(request.method === "HEAD" ? undefined : text);
}

/** @throws ContainerdError `invalid-argument` unless it is `<host>:<port>` or `:<port>` */
export function parseTcpAddress(address: string): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalidArgument(`metrics address "${address}" must be <host>:<port>`);
  return { host: match[1] ?? (match[2] || "::"), port };
}
