/**
 * Makes one executable of an app folder: Node, the daemon, and exactly the app's plugins. `ctrd build` calls it.
 *
 * ```ts
 * import { buildBinary } from "@ctrd/build";
 *
 * const { path, size } = await buildBinary({ app: ".", output: "dist/ctrd" });
 * ```
 *
 * @module
 */
export type { BuildOptions, BuiltBinary } from "./build-binary.ts";
export { buildBinary } from "./build-binary.ts";
