/**
 * Port-forward over SPDY: the client opens a pair of streams for each connection.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ChannelStream } from "../channel-stream.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { agreeSpdy } from "../spdy/handshake.ts";
import type { Headers } from "../spdy/header-blocks.ts";
import type { ForwardedConnection } from "./forward.ts";

/** The only version there is. */
export const portForwardProtocol = "portforward.k8s.io";

/** 500 connections at the same time. */
const maxStreams = 1_000;

/** Checks that the request can be upgraded. */
export function agreePortForward(request: IncomingMessage): { headers: string[] } {
  return agreeSpdy(request, [portForwardProtocol]);
}

interface Half {
  readonly requestId: string;
  readonly port: number;
  readonly type: "data" | "error";
}

interface Pair {
  readonly port: number;
  data?: ChannelStream;
  error?: ChannelStream;
  readonly timer: NodeJS.Timeout;
}

/** What the pairs of one client are served with. */
export interface PortForwardOptions {
  readonly sandboxId: string;
  /** Forwards one connection to its end; never rejects. */
  forward(connection: ForwardedConnection): Promise<void>;
  /** How long the second stream of a pair may take to come. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** Serves a client until it goes. `socket` is already upgraded. */
export function servePortForwardSpdy(socket: Duplex, head: Buffer, options: PortForwardOptions): SpdyConnection {
  const pairs = new Pairs(options);
  const connection = new SpdyConnection(socket, head, {
    maxStreams,
    log: options.log,
    onStream: (stream, headers) => pairs.add(stream, headers),
  });
  void connection.closed.then(() => pairs.clear());
  return connection;
}

/** Streams that wait for the other one of their pair. */
class Pairs {
  readonly #options: PortForwardOptions;
  readonly #pairs = new Map<string, Pair>();

  constructor(options: PortForwardOptions) {
    this.#options = options;
  }

  /** Whether the stream is one of a pair. */
  add(stream: ChannelStream, headers: Headers): boolean {
    const half = readHalf(stream.id, headers);
    if (half === undefined) return false;
    const pair = this.#pairs.get(half.requestId) ?? this.#begin(half);
    if (pair[half.type] !== undefined || pair.port !== half.port) return false;
    pair[half.type] = stream;
    const { data, error, port } = pair;
    if (data === undefined || error === undefined) return true;
    this.#remove(half.requestId, pair);
    const { sandboxId } = this.#options;
    // Not before the stream is accepted.
    queueMicrotask(() => void this.#options.forward({ sandboxId, port, data, error }));
    return true;
  }

  clear(): void {
    for (const [requestId, pair] of this.#pairs) this.#remove(requestId, pair);
  }

  #begin({ requestId, port }: Half): Pair {
    const timer = setTimeout(() => this.#expire(requestId, pair), this.#options.timeoutMs);
    const pair: Pair = { port, timer };
    this.#pairs.set(requestId, pair);
    return pair;
  }

  #expire(requestId: string, pair: Pair): void {
    this.#remove(requestId, pair);
    const { data, error, port } = pair;
    error?.end(`port ${port}: the data stream of request ${requestId} did not come in time`, () => error.destroy());
    data?.destroy();
  }

  #remove(requestId: string, pair: Pair): void {
    clearTimeout(pair.timer);
    this.#pairs.delete(requestId);
  }
}

function readHalf(streamId: number, headers: Headers): Half | undefined {
  const [type, text] = [headers.get("streamtype"), headers.get("port") ?? ""];
  const port = Number(text);
  if (type !== "data" && type !== "error") return undefined;
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 0xffff) return undefined;
  // Old clients give no id: they open the error stream right before the data stream.
  const requestId = headers.get("requestid") ?? String(type === "error" ? streamId : streamId - 2);
  return { requestId, port, type };
}
