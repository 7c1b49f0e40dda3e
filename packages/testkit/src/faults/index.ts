/**
 * Faults on purpose: a daemon that is killed at any moment, and a disk that fills.
 *
 * @module
 */
export type { KillAnywhereOptions, KillReport, KillableDaemon, KillWork } from "./kill-anywhere.ts";
export { killAnywhere } from "./kill-anywhere.ts";
export { Ledger } from "./ledger.ts";
export type { SmallDisk } from "./small-disk.ts";
export { mountSmallDisk } from "./small-disk.ts";
