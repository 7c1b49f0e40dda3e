/**
 * Profiles, heap snapshots and stacks of the process on a socket, without a daemon.
 *
 * @module
 */
export { debugServer } from "./server.ts";
export type { DebugSources, Stacks, ThreadState } from "./state.ts";
export type { SeenStack } from "./profile.ts";
