/**
 * Sending messages to a collector.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { ClientRequestArgs, IncomingMessage } from "node:http";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect, constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { unavailable } from "@ctrd/core/errors";
import type { ExportSettings } from "./environment.ts";

/** How a collector has answered. */
export interface Answer {
  /** The message that it answered with; empty unless it took the spans. */
  readonly body: Uint8Array;
  /** Why it did not take them. */
  readonly refusal?: string;
  /** Whether the same may be sent again, and after how many milliseconds at the earliest. */
  readonly retryAfterMs?: number;
}

/** Sends one message. @throws ContainerdError `unavailable`, or the connection's error */
export type Send = (message: Uint8Array, signal: AbortSignal) => Promise<Answer>;

/** Opens the way to a collector; nothing is connected before it is needed. */
export function openSender(settings: ExportSettings): Send {
  const tls = tlsOptions(settings);
  return settings.protocol === "grpc" ? grpcSender(settings, tls) : httpSender(settings, tls);
}

function tlsOptions({ tls, url }: ExportSettings): Record<string, Buffer> {
  if (url.protocol !== "https:") return {};
  return Object.fromEntries(Object.entries(tls).map(([name, file]) => [name, readFileSync(file)]));
}

function httpSender({ url, headers, gzip }: ExportSettings, tls: Record<string, Buffer>): Send {
  const request = url.protocol === "https:" ? tlsRequest : plainRequest;
  return async (message, signal) => {
    const body = gzip ? gzipSync(message) : message;
    const options: ClientRequestArgs = {
      method: "POST",
      ...tls,
      signal,
      headers: {
        ...headers,
        "content-type": "application/x-protobuf",
        "content-length": body.length,
        ...(gzip ? { "content-encoding": "gzip" } : {}),
      },
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, options, resolve).on("error", reject).end(body);
    });
    const answer = Buffer.concat((await response.toArray()) as Buffer[]);
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return { body: answer };
    const refusal = `HTTP status ${statusCode}`;
    if (![429, 502, 503, 504].includes(statusCode)) return { body: new Uint8Array(0), refusal };
    const seconds = Number(response.headers["retry-after"] ?? 0);
    return { body: new Uint8Array(0), refusal, retryAfterMs: seconds > 0 ? seconds * 1000 : 0 };
  };
}

const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/** Codes that OTLP lets try again: Canceled, DeadlineExceeded, Aborted, OutOfRange, Unavailable, DataLoss. */
const retried: ReadonlySet<number> = new Set([1, 4, 10, 11, 14, 15]);

/** One connection for each message: they are seconds apart, and an idle one would have to be looked after. */
function grpcSender({ url, headers, gzip }: ExportSettings, tls: Record<string, Buffer>): Send {
  return async (message, signal) => {
    const session = connect(url.origin, tls);
    try {
      return await callExport(session, message, { headers, gzip, signal });
    } finally {
      session.close();
    }
  };
}

async function callExport(
  session: ReturnType<typeof connect>,
  message: Uint8Array,
  { headers, gzip, signal }: { headers: Readonly<Record<string, string>>; gzip: boolean; signal: AbortSignal },
): Promise<Answer> {
  const body = gzip ? gzipSync(message) : message;
  const frame = Buffer.alloc(5 + body.length);
  frame.writeUInt8(gzip ? 1 : 0, 0);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, 5);
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  session.on("error", reject);
  const stream = session.request(
    {
      ...headers,
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: exportPath,
      "content-type": "application/grpc",
      te: "trailers",
      ...(gzip ? { "grpc-encoding": "gzip" } : {}),
    },
    { signal },
  );
  const status: Record<string, unknown> = {};
  stream.on("response", (answered) => Object.assign(status, answered));
  stream.on("trailers", (trailers) => Object.assign(status, trailers));
  stream.end(frame);
  const answer = Buffer.concat((await Promise.race([stream.toArray(), failed])) as Buffer[]);
  if (status["grpc-status"] === undefined)
    throw unavailable(`no gRPC answer (HTTP status ${String(status[":status"])})`);
  const code = Number(status["grpc-status"]);
  if (code === 0) return { body: answer.subarray(5) };
  const refusal = `gRPC status ${code}: ${decodeURIComponent(String(status["grpc-message"] ?? ""))}`;
  return { body: new Uint8Array(0), refusal, ...(retried.has(code) ? { retryAfterMs: 0 } : {}) };
}
