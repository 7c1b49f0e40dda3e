/**
 * The root filesystem and mounts.
 *
 * @module
 */
import { posix } from "node:path";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { linuxOf } from "./context.ts";
import { requireInteger, maxInt64 } from "./integers.ts";
import { requireAbsolute } from "./paths.ts";
import type { Mount } from "./spec.ts";

/** How mounts made later spread between a mount and its source. */
export type Propagation =
  | "private"
  | "rprivate"
  | "shared"
  | "rshared"
  | "slave"
  | "rslave"
  | "unbindable"
  | "runbindable";

/** Options of {@link bindMount}. */
export interface BindOptions {
  readonly?: boolean;
  /** Whether mounts below the source come along; true when absent. */
  recursive?: boolean;
  propagation?: Propagation;
  /** Further mount options such as `noexec`. */
  options?: readonly string[];
}

/** A mount of a file or directory of the host. */
export function bindMount(source: string, destination: string, options: BindOptions = {}): Mount {
  requireAbsolute("mount source", source);
  const { readonly = false, recursive = true, propagation, options: more = [] } = options;
  const words = [recursive ? "rbind" : "bind", readonly ? "ro" : "rw", ...(propagation ? [propagation] : []), ...more];
  return { destination, type: "bind", source, options: words };
}

/** Options of {@link tmpfsMount}. */
export interface TmpfsOptions {
  /** Bytes. */
  size?: number;
  /** Permission bits of its root. */
  mode?: number;
  /** In place of `nosuid`, `noexec`, `nodev`. */
  options?: readonly string[];
}

/** An empty filesystem in memory. */
export function tmpfsMount(destination: string, options: TmpfsOptions = {}): Mount {
  const { size, mode, options: flags = ["nosuid", "noexec", "nodev"] } = options;
  const words = [...flags];
  if (mode !== undefined) words.push(`mode=${mode.toString(8)}`);
  if (size !== undefined) {
    requireInteger("tmpfs size", size, 0n, maxInt64);
    words.push(`size=${size}`);
  }
  return { destination, type: "tmpfs", source: "tmpfs", options: words };
}

/** Adds mounts after those that are there; one on the same destination covers the earlier one. */
export function withMounts(...mounts: readonly Mount[]): SpecOption {
  for (const { destination } of mounts) requireAbsolute("mount destination", destination);
  return (_context, spec) => {
    (spec.mounts ??= []).push(...structuredClone([...mounts]));
  };
}

/** Takes away the mounts on these destinations. */
export function withoutMounts(...destinations: readonly string[]): SpecOption {
  const gone = new Set(destinations.map((path) => cleanPath(path)));
  return (_context, spec) => {
    spec.mounts = (spec.mounts ?? []).filter((mount) => !gone.has(cleanPath(mount.destination)));
  };
}

/** Shows the host's `/etc/hosts`, read-only. */
export function withHostHosts(): SpecOption {
  return withMounts(hostFile("/etc/hosts"));
}

/** Shows the host's `/etc/resolv.conf`, read-only. */
export function withHostResolvConf(): SpecOption {
  return withMounts(hostFile("/etc/resolv.conf"));
}

/** Shows the host's `/etc/localtime`, read-only. */
export function withHostLocaltime(): SpecOption {
  return withMounts(hostFile("/etc/localtime"));
}

/** Sets the size of `/dev/shm` in bytes, rounded up to KiB. @throws ContainerdError when the spec has no such tmpfs */
export function withShmSize(bytes: number): SpecOption {
  requireInteger("size of /dev/shm", bytes, 0n, maxInt64);
  return (_context, spec) => {
    const shm = spec.mounts?.find((mount) => cleanPath(mount.destination) === "/dev/shm" && mount.type === "tmpfs");
    if (shm === undefined) throw failedPrecondition("spec has no tmpfs on /dev/shm to set the size of");
    const others = (shm.options ?? []).filter((option) => !option.startsWith("size="));
    shm.options = [...others, `size=${Math.ceil(bytes / 1024)}k`];
  };
}

/** Makes the root filesystem read-only, or writable. */
export function withReadonlyRoot(readonly = true): SpecOption {
  return (_context, spec) => {
    const root = (spec.root ??= { path: "rootfs" });
    if (readonly) root.readonly = true;
    else delete root.readonly;
  };
}

/** Takes a directory of the caller as root filesystem, absolute or below the bundle. */
export function withRootPath(path: string): SpecOption {
  if (path === "" || path.includes("\0")) throw invalidArgument("root path is empty or has a zero byte");
  return (_context, spec) => {
    spec.root = { ...spec.root, path };
  };
}

/** Sets how mounts spread between the root filesystem and the host. */
export function withRootfsPropagation(propagation: Propagation): SpecOption {
  return (_context, spec) => {
    linuxOf(spec).rootfsPropagation = propagation;
  };
}

function hostFile(path: string): Mount {
  return { destination: path, type: "bind", source: path, options: ["rbind", "ro"] };
}

function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}
