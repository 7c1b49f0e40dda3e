/**
 * The upgrade of an HTTP request to a WebSocket (RFC 6455, section 4.2).
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { headerList, Refusal } from "../http-upgrade.ts";

/** What a key is hashed with; the same for all servers. */
const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Whether the request asks for a WebSocket. */
export function isWebSocketRequest(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

/** What was agreed on. */
export interface Agreement {
  /** Sub-protocol; empty when the client named none. */
  readonly protocol: string;
  /** Headers of the answer. */
  readonly headers: readonly string[];
}

/**
 * Agrees on the first sub-protocol of the client's that is known.
 *
 * @throws Refusal when there is none, or when the request is no WebSocket's
 */
export function agree(request: IncomingMessage, known: readonly string[]): Agreement {
  const key = request.headers["sec-websocket-key"] ?? "";
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) throw new Refusal(400, "Sec-WebSocket-Key is missing or malformed");
  if (request.headers["sec-websocket-version"] !== "13") {
    throw new Refusal(426, "only version 13 of WebSocket is supported", ["Sec-WebSocket-Version: 13"]);
  }
  const asked = headerList(request, "sec-websocket-protocol");
  const protocol = asked.length === 0 ? "" : asked.find((name) => known.includes(name));
  if (protocol === undefined) {
    throw new Refusal(403, `none of the sub-protocols ${asked.join(", ")} is known; known are ${known.join(", ")}`);
  }
  const accept = createHash("sha1").update(key).update(acceptSuffix).digest("base64");
  const headers = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  return { protocol, headers: protocol === "" ? headers : [...headers, `Sec-WebSocket-Protocol: ${protocol}`] };
}
