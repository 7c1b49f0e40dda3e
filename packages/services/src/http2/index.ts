/**
 * HTTP/2 for servers, as small and as fast as gRPC needs it; see docs/adr/0014.
 *
 * @module
 */
export { Http2Connection } from "./connection.ts";
export { encodeHeaders } from "./hpack.ts";
export type { RequestHeaders } from "./request-headers.ts";
export type { Http2Stream } from "./stream.ts";
