/**
 * Asks the programs of a directory whether an image may be pulled.
 *
 * ```ts
 * const verifier = binDirVerifier({ directory: "/opt/containerd/image-verifier/bin" });
 * const { ok, reason } = await verifier.verifyImage(ctx, "docker.io/library/busybox:latest", descriptor);
 * ```
 *
 * @module
 */
export type { BinDirOptions } from "./verifier.ts";
export { binDirVerifier } from "./verifier.ts";
