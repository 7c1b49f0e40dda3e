/**
 * A differ that applies layers and makes them by walking trees, in worker threads. See `plugin.ts` for the daemon's.
 *
 * ```ts
 * const differ = await openWalkingDiffer({ content, temporary: "/run/x/differ", workers: 4 });
 * const { digest } = await differ.apply(ctx, layer, mounts);
 * ```
 *
 * @module
 */
export type { WalkingConfig } from "./config.ts";
export { walkingConfig } from "./config.ts";
export type { WalkingDiffer, WalkingDifferOptions } from "./differ.ts";
export { openWalkingDiffer } from "./differ.ts";
