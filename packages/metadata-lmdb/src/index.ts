/**
 * Namespaced metadata over content and snapshot backends, in one LMDB file, with garbage collection.
 *
 * ```ts
 * const store = await openMetadataStore({ root: "/var/lib/x", content, snapshotters: new Map([["overlayfs", sn]]) });
 * const ctx = createContext({ namespace: "default" });
 * await store.images.create(ctx, image);
 * await store.collectGarbage(ctx);
 * ```
 *
 * @module
 */
export type { SharingPolicy } from "./content/ingests.ts";
export type { MetadataOptions } from "./store.ts";
export { openMetadataStore } from "./store.ts";
