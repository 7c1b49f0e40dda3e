/**
 * The HTTP server that clients of exec, attach and port-forward connect to.
 *
 * @module
 */
import type { AttachRequest, ExecRequest, PortForwardRequest } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument, messageOf, unavailable } from "@ctrd/core/errors";
import type { IncomingMessage, Server } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { bindAddress } from "./bind-address.ts";
import type { KeyPair } from "./certificate.ts";
import type { UpgradeRequest } from "./http-upgrade.ts";
import { refuse, Refusal } from "./http-upgrade.ts";
import type { StreamingRequest } from "./requests.ts";
import { PendingRequests } from "./requests.ts";
import type { StreamingRuntime } from "./runtime.ts";
import { StreamingSessions } from "./sessions.ts";

/** What a server is opened with. */
export interface StreamingServerOptions {
  /** Address to listen on; empty: the machine's first one that others reach. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  /** Serves https with it. */
  readonly tls?: KeyPair;
  /** After how long without any byte a connection is closed. */
  readonly idleTimeoutMs?: number;
  /** How long a client may take to open its streams. */
  readonly streamCreationTimeoutMs?: number;
  /** Of the calls to the runtime; its signal is not used. */
  readonly context: CallContext;
}

/** A server that listens. */
export interface StreamingServer {
  /** `http://127.0.0.1:34567` */
  readonly baseUrl: string;
  /**
   * The URL under which a client runs the prepared call.
   *
   * @throws ContainerdError `invalid-argument` for a request that contradicts itself, `resource-exhausted` when too many
   * prepared calls wait for their clients
   */
  getExec(request: ExecRequest): string;
  /** As {@link getExec}. */
  getAttach(request: AttachRequest): string;
  /** As {@link getExec}. */
  getPortForward(request: PortForwardRequest): string;
  /** Closes all connections, which aborts the calls of their clients, and waits for those. */
  close(): Promise<void>;
}

const defaultIdleTimeoutMs = 4 * 60 * 60 * 1_000;
const defaultStreamCreationTimeoutMs = 30_000;
const maxHeaderBytes = 16 * 1024;
/** A client that has not sent its request by then never will. */
const requestTimeoutMs = 30_000;

/** Starts to listen. */
export async function openStreamingServer(
  runtime: StreamingRuntime,
  options: StreamingServerOptions,
): Promise<StreamingServer> {
  const limits = { maxHeaderSize: maxHeaderBytes, requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs };
  const http = options.tls === undefined ? createServer(limits) : createTlsServer({ ...limits, ...options.tls });
  const address = bindAddress(options.address);
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  http.once("error", reject);
  http.listen(options.port, address, () => resolve());
  try {
    await listening;
  } catch (error) {
    throw unavailable(`streaming server: listen on ${address}:${options.port}: ${messageOf(error)}`, { cause: error });
  }
  http.off("error", reject);
  http.on("error", (error) => options.context.log.warn({ err: messageOf(error) }, "streaming server failed"));
  const sessions = new StreamingSessions(runtime, {
    context: options.context,
    idleTimeoutMs: options.idleTimeoutMs ?? defaultIdleTimeoutMs,
    streamCreationTimeoutMs: options.streamCreationTimeoutMs ?? defaultStreamCreationTimeoutMs,
  });
  return new HttpStreamingServer(http, options.tls === undefined ? "http" : "https", sessions);
}

class HttpStreamingServer implements StreamingServer {
  readonly baseUrl: string;
  readonly #http: Server;
  readonly #sessions: StreamingSessions;
  readonly #pending = new PendingRequests();

  constructor(http: Server, scheme: string, sessions: StreamingSessions) {
    const { address, port, family } = http.address() as AddressInfo;
    this.baseUrl = `${scheme}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
    this.#http = http;
    this.#sessions = sessions;
    http.on("upgrade", (request, socket: Duplex, head: Buffer) => this.#upgrade({ request, socket, head }));
    http.on("request", (request, response) => {
      const { status, message, headers } = this.#refusal(request);
      response.statusCode = status;
      for (const line of headers) {
        const [name = "", value = ""] = line.split(": ");
        response.appendHeader(name, value);
      }
      response.setHeader("Content-Type", "text/plain; charset=utf-8");
      response.setHeader("Connection", "close");
      response.end(`${message}\n`);
    });
  }

  getExec(request: ExecRequest): string {
    checkStreams("exec", request);
    return this.#prepare({ kind: "exec", request });
  }

  getAttach(request: AttachRequest): string {
    checkStreams("attach", request);
    return this.#prepare({ kind: "attach", request });
  }

  getPortForward(request: PortForwardRequest): string {
    if (request.podSandboxId === "") throw invalidArgument("port-forward: missing required pod_sandbox_id");
    return this.#prepare({ kind: "portforward", request });
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#http.close(() => resolve());
    await this.#sessions.close();
    this.#http.closeAllConnections();
    await promise;
  }

  #prepare(call: StreamingRequest): string {
    return `${this.baseUrl}/${call.kind}/${this.#pending.add(call)}`;
  }

  #upgrade(upgrade: UpgradeRequest): void {
    try {
      this.#sessions.serve(upgrade, this.#take(upgrade.request));
    } catch (error) {
      refuse(upgrade.socket, error instanceof Refusal ? error : new Refusal(500, messageOf(error)));
    }
  }

  /** Why a request without an upgrade is refused. */
  #refusal(request: IncomingMessage): Refusal {
    try {
      this.#sessions.check(request, this.#take(request));
    } catch (error) {
      return error instanceof Refusal ? error : new Refusal(500, messageOf(error));
    }
    return new Refusal(400, "unable to upgrade: the request asks for no upgrade");
  }

  /** The prepared call that the request names, whose token is used up by that. */
  #take(request: IncomingMessage): StreamingRequest {
    const [path = ""] = (request.url ?? "").split("?");
    const [, kind, token] = /^\/(exec|attach|portforward)\/([A-Za-z0-9_-]{1,64})$/.exec(path) ?? [];
    if (token === undefined) throw new Refusal(404, "404: Page Not Found");
    if (request.method !== "GET" && request.method !== "POST") throw new Refusal(405, "405: Method Not Allowed");
    const call = this.#pending.take(token);
    if (call === undefined || call.kind !== kind) throw new Refusal(404, "the token is unknown, used up or expired");
    return call;
  }
}

function checkStreams(kind: string, request: ExecRequest | AttachRequest): void {
  const { containerId, tty, stdin, stdout, stderr } = request;
  if (containerId === "") throw invalidArgument(`${kind}: missing required container_id`);
  if (tty && stderr) throw invalidArgument(`${kind}: tty and stderr cannot both be true`);
  if (!stdin && !stdout && !stderr) throw invalidArgument(`${kind}: one of stdin, stdout, or stderr must be set`);
}
