/**
 * Transfers done by the daemon, and the named streams that they use.
 *
 * ```ts
 * const streams = createStreamManager();
 * const transfers = createTransferService({ content, images, leases, snapshotters, applier, streams, … });
 * await serveOnSocket(path, [serveStreaming(streams), serveTransfer(transfers)]);
 * ```
 *
 * @module
 */
export type { LeaseSource } from "./lease-watch.ts";
export { LeaseWatch } from "./lease-watch.ts";
export { serveTransfer } from "./serve.ts";
export type { TransferParts } from "./service.ts";
export { createTransferService } from "./service.ts";
export { createStreamManager, serveStreaming } from "./streams.ts";
