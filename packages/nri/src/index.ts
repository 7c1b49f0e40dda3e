/**
 * Node Resource Interface: plugins that watch pods and containers and adjust them.
 *
 * @module
 */
export { NriNodeResources } from "./node-resources.ts";
export type { NriOptions } from "./plugin-set.ts";
