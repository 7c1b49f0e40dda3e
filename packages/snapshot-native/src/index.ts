/**
 * The copying snapshotter: each snapshot is a whole copy of its parent in a directory of its own. It works on every
 * filesystem.
 *
 * ```ts
 * const snapshotter = openNativeSnapshotter("/var/lib/x/native");
 * const mounts = await snapshotter.prepare(createContext(), "key", "");
 * ```
 *
 * @module
 */
export type { NativeConfig } from "./config.ts";
export { nativeConfig } from "./config.ts";
export { copyTree } from "./copy-tree.ts";
export type { NativeOptions } from "./snapshotter.ts";
export { openNativeSnapshotter } from "./snapshotter.ts";
