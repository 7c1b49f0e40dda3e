/**
 * HTTP/2 for servers, as small and as fast as gRPC needs it; see docs/adr/0014.
 *
 * @module
 */
export type { ConnectionEvents } from "./connection.ts";
export { Http2Connection } from "./connection.ts";
export { ErrorCode } from "./errors.ts";
export { encodeHeaders } from "./hpack.ts";
export type { RequestHeaders } from "./request-headers.ts";
export type { BodyReader, Http2Stream } from "./stream.ts";
