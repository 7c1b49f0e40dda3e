/**
 * Faults on purpose: a daemon that is killed at any moment or at a named one, a disk that fills, a shim and a registry
 * that misbehave.
 *
 * @module
 */
export type { FaultShim, ShimFault, ShimFaults } from "./fault-shim.ts";
export { makeFaultShim } from "./fault-shim.ts";
export type { FailpointDaemon, KillAtPointsOptions } from "./kill-at-points.ts";
export { killAtPoints } from "./kill-at-points.ts";
export type { KillAnywhereOptions, KillReport, KillableDaemon, KillWork } from "./kill-anywhere.ts";
export { killAnywhere } from "./kill-anywhere.ts";
export { Ledger } from "./ledger.ts";
export type { SmallDisk } from "./small-disk.ts";
export { mountSmallDisk } from "./small-disk.ts";
