/**
 * Logs of containers in the format of CRI.
 *
 * @module
 */
export { ContainerLog } from "./container-log.ts";
export type { OutputName } from "./line-writer.ts";
