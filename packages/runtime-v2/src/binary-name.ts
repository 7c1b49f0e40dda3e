/**
 * Runtime names as names of shim binaries. Pure.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import { invalidArgument } from "@ctrd/core/errors";

/**
 * The shim binary of a runtime name: `io.containerd.runc.v2` → `containerd-shim-runc-v2`.
 *
 * @throws ContainerdError `invalid-argument` for a relative path or a name of fewer than two parts
 */
export function shimBinaryName(runtime: string): string {
  const parts = runtime.split(".");
  const [kind, version] = parts.slice(-2);
  if (runtime.includes("/") || parts.length < 2 || parts.includes("") || kind === undefined || version === undefined) {
    throw invalidArgument(
      `runtime name "${runtime}" is neither of the form io.containerd.runc.v2 nor an absolute path of a shim binary`,
    );
  }
  return `containerd-shim-${kind}-${version}`;
}

/** Whether a runtime name is the path of its binary. */
export function isBinaryPath(runtime: string): boolean {
  return isAbsolute(runtime);
}
