/**
 * A content store on a local directory, with the disk layout of containerd's.
 *
 * ```ts
 * const store = await openContentStore("/var/lib/app/content");
 * const writer = await store.writer(ctx, { ref: "layer-1", expected: digest });
 * await writer.write(bytes);
 * await writer.commit(ctx, { expected: digest });
 * ```
 *
 * @module
 */
export type { ContentStoreOptions, LocalContentStore } from "./store.ts";
export { openContentStore } from "./store.ts";
