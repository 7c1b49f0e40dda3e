import type { Logger } from "@ctrd/core/log";
import type { DaemonServer } from "@ctrd/core/services";
import type { TcpAddress } from "@ctrd/services";
import { listen } from "@ctrd/services";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { invalidArgument } from "@ctrd/core/errors";
import { prometheusContentType } from "../metrics/prometheus-text.ts";

/** A metrics server that can be moved while it runs. */
export interface MetricsServer extends DaemonServer {
  /**
   * Serves at another address from now on; empty: nowhere.
   *
   * @throws ContainerdError `invalid-argument` for a malformed address; when the new address cannot be had, the old one
   * stays served
   */
  move(address: string): Promise<void>;
}

/** Serves `collect`'s text at `/v1/metrics`. An empty address switches it off. */
export function metricsServer(address: string, collect: () => Promise<string>, log: Logger): MetricsServer {
  return new PrometheusServer(address, collect, log);
}

class PrometheusServer implements MetricsServer {
  address: string;
  readonly #collect: () => Promise<string>;
  readonly #log: Logger;
  #server: Server | undefined;

  constructor(address: string, collect: () => Promise<string>, log: Logger) {
    // A malformed address fails the plugin, not the first scrape.
    if (address !== "") parseTcpAddress(address);
    this.address = address;
    this.#collect = collect;
    this.#log = log;
  }

  async start(): Promise<void> {
    this.#server = await this.#listen(this.address);
  }

  async move(address: string): Promise<void> {
    const started = await this.#listen(address);
    const old = this.#server;
    this.#server = started;
    this.address = address;
    await close(old);
  }

  stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    return close(server);
  }

  async #listen(address: string): Promise<Server | undefined> {
    if (address === "") return undefined;
    const tcp = parseTcpAddress(address);
    const server = createServer((request, response) => {
      answer(request, response, this.#collect).catch((error: unknown) => {
        this.#log.error({ err: error }, "cannot collect metrics");
        response.writeHead(500).end();
      });
    });
    await listen(server, tcp);
    return server;
  }
}

async function close(server: Server | undefined): Promise<void> {
  if (server === undefined || !server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
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
export function parseTcpAddress(address: string, what = "metrics"): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalidArgument(`${what} address "${address}" must be <host>:<port>`);
  return { host: match[1] ?? (match[2] || "::"), port };
}
