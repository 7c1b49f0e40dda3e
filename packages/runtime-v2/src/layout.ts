/**
 * Where bundles lie. Pure.
 *
 * @module
 */
import { join } from "node:path";

/** Directories of a runtime: `state` holds bundles, `root` their work directories; both by namespace and task id. */
export interface RuntimeDirs {
  root: string;
  state: string;
}

/** Files of a bundle. */
export const BundleFile = {
  config: "config.json",
  rootfs: "rootfs",
  work: "work",
  log: "log",
  bootstrap: "bootstrap.json",
  /** Written by 1.x shims. */
  address: "address",
  shimBinary: "shim-binary-path",
  sandbox: "sandbox",
} as const;

/** Path of a bundle. */
export function bundlePath(dirs: RuntimeDirs, namespace: string, id: string): string {
  return join(dirs.state, namespace, id);
}

/** Path of a bundle's work directory. */
export function workPath(dirs: RuntimeDirs, namespace: string, id: string): string {
  return join(dirs.root, namespace, id);
}

/** Name that a bundle has while it is being removed; names with a dot are skipped at start. */
export function removedBundlePath(dirs: RuntimeDirs, namespace: string, id: string): string {
  return join(dirs.state, namespace, `.${id}`);
}
