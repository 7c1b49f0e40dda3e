/**
 * The platform of this machine.
 *
 * @module
 */
import type { Platform } from "./records.ts";

/** Node's names of processors → OCI's (Go's) architecture and variant. */
const architectures: ReadonlyMap<string, readonly [architecture: string, variant: string]> = new Map([
  ["x64", ["amd64", ""]],
  ["arm64", ["arm64", "v8"]],
  ["arm", ["arm", "v7"]],
  ["ia32", ["386", ""]],
  ["ppc64", ["ppc64le", ""]],
  ["s390x", ["s390x", ""]],
  ["riscv64", ["riscv64", ""]],
  ["loong64", ["loong64", ""]],
]);

/** The OCI platform that this process runs on, as plugins list it. */
export function hostPlatform(): Platform {
  const [architecture, variant] = architectures.get(process.arch) ?? [process.arch, ""];
  return { os: process.platform, architecture, variant, osVersion: "" };
}
