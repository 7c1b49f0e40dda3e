/**
 * Durable LMDB environments, and what snapshotters share.
 *
 * ```ts
 * const env = openDurableEnv({ path: "/var/lib/x/meta.db", schema: { name: "things", version: 1 } });
 * const things = env.openDb("things");
 * await env.write(() => void things.put(["a", 1], Buffer.from("value"))); // on disk now
 * things.get(["a", 1]);
 * ```
 *
 * @module
 */
export type { DirectorySnapshotterOptions, SnapshotDriver } from "./directory-snapshotter.ts";
export { openDirectorySnapshotter } from "./directory-snapshotter.ts";
export type { DurableEnv, DurableEnvOptions, DurableKey, DurableSchema } from "./env.ts";
export { openDurableEnv } from "./env.ts";
export type { DatabaseSummary } from "./inspect-database.ts";
export { inspectDatabase, readSnapshotRecords } from "./inspect-database.ts";
export { SnapshotDirectories } from "./snapshot-directories.ts";
export type { SnapshotRecord } from "./snapshot-record.ts";
export type { NewSnapshot, SnapshotChain, SnapshotFiles, SnapshotStore } from "./snapshot-store.ts";
export { openSnapshotStore } from "./snapshot-store.ts";
export type { TaskPoolOptions } from "./task-pool.ts";
export { TaskPool } from "./task-pool.ts";
export { TreePool } from "./trees.ts";
export { createYield, forEach, sliceMs } from "./turns.ts";
