/**
 * The overlay snapshotter: each layer in a directory of its own, stacked by the kernel's overlayfs.
 *
 * ```ts
 * const probe = probeOverlay("/var/lib/x/snapshots");
 * if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
 * const snapshotter = openOverlaySnapshotter(probe.root, { features: probe.features });
 * const mounts = await snapshotter.prepare(createContext(), "key", "");
 * ```
 *
 * @module
 */
export type { OverlayConfig } from "./config.ts";
export { overlayConfig } from "./config.ts";
export type { OverlayFeatures } from "./mount-options.ts";
export type { OverlayProbe } from "./probe.ts";
export { probeOverlay } from "./probe.ts";
export type { OverlayOptions } from "./snapshotter.ts";
export { openOverlaySnapshotter, upperdirLabel } from "./snapshotter.ts";
