/**
 * The upgrade of an HTTP request to SPDY/3.1, and the choice of what is spoken over it.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { headerList, Refusal } from "../http-upgrade.ts";

/**
 * Agrees on the first sub-protocol of the client's that is known.
 *
 * @returns it, and the headers of the answer
 * @throws Refusal when there is none, or when the request asks for another upgrade
 */
export function agreeSpdy(request: IncomingMessage, known: readonly string[]): { protocol: string; headers: string[] } {
  const asked = headerList(request, "x-stream-protocol-version");
  if (asked.length === 0) throw new Refusal(400, "unable to upgrade: X-Stream-Protocol-Version is required");
  const protocol = asked.find((name) => known.includes(name));
  if (protocol === undefined) {
    throw new Refusal(
      403,
      `unable to upgrade: none of the protocols ${asked.join(", ")} is known; known are ${known.join(", ")}`,
      known.map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}`),
    );
  }
  if (request.headers.upgrade?.toLowerCase() !== "spdy/3.1") {
    throw new Refusal(400, "unable to upgrade: the request has no headers Connection: Upgrade and Upgrade: SPDY/3.1");
  }
  const headers = ["Upgrade: SPDY/3.1", "Connection: Upgrade", `X-Stream-Protocol-Version: ${protocol}`];
  return { protocol, headers };
}
