/**
 * The streaming server: what clients of exec, attach and port-forward connect to.
 *
 * @module
 */
export { externalAddresses } from "./bind-address.ts";
export { readKeyPair, selfSignedCertificate } from "./certificate.ts";
export { joinStreams } from "./join-streams.ts";
export { openStreamingServer } from "./server.ts";
export type { StreamingServer, StreamingServerOptions } from "./server.ts";
