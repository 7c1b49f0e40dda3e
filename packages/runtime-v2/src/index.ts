/**
 * Runs containers in shims, by containerd's shim contract (versions 2 and 3). Usable without a daemon:
 *
 * ```ts
 * const manager = createShimManager({ settings, events });
 * const runtime = await openRuntime(manager, { root: "/var/lib/x", state: "/run/x" });
 * const task = await runtime.create(ctx, "web", { spec, rootfs, io, runtime: "io.containerd.runc.v2" });
 * await task.start(ctx, "");
 * ```
 *
 * @module
 */
export type { Endpoint } from "./address.ts";
export { parseEndpoint, socketPath, usualSocketAddress } from "./address.ts";
export { BinaryLookup } from "./binary-lookup.ts";
export { shimBinaryName } from "./binary-name.ts";
export type { StartEncoding } from "./bootstrap.ts";
export { parseStartOutput, startEncodingOf } from "./bootstrap.ts";
export type { RuntimeDirs } from "./layout.ts";
export type { ShimManager, ShimManagerOptions, ShimTimeouts } from "./manager.ts";
export { createShimManager, ShimPlugin } from "./manager.ts";
export { openRuntime, ShimRuntime } from "./runtime.ts";
export type { ShimSettings } from "./shim-binary.ts";
export { ShimTask } from "./task.ts";
