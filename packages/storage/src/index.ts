/**
 * Durable LMDB environments, and the snapshot records that snapshotters share.
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
export type { DurableEnv, DurableEnvOptions, DurableKey, DurableSchema } from "./env.ts";
export { openDurableEnv } from "./env.ts";
