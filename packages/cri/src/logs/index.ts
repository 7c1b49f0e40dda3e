/**
 * Logs of containers in the format of CRI.
 *
 * @module
 */
export type { OutputName } from "./line-writer.ts";
export type { LogTarget } from "./log-protocol.ts";
export { LogThread } from "./log-thread.ts";
export type { LoggedOutputs, OutputListener } from "./logged-outputs.ts";
